"""Lists what a recipe has made on disk and can make again, with its size; --delete true removes it.

  clean_exp                                     in the folder of a recipe: lists everything
  clean_exp --kinds "states shards" --delete true

Models, conversions, results, tables, targets and logs are never removed, nor is anything of a training that is not finished. --delete true removes
leftovers, states, shards, features and archives; checkpoints (without which a training cannot go on) and former (runs on other data, which nothing
makes again) only if --kinds names them. It refuses while a stage is running.
"""

from pathlib import Path

from asrlib.utils.clean import DEFAULT, KINDS
from asrlib.utils.cli import Parser, boolean, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--dump_dir", type=Path, default=Path("dump"), help="folder of features, targets and hidden states")
    parser.add_argument("--exp_dir", type=Path, default=Path("exp"), help="folder of experiments")
    parser.add_argument("--download_dir", type=Path, default=Path("downloads"), help="folder of downloads")
    kinds = "; ".join(f"{kind}: {what}" for kind, what in KINDS.items())
    parser.add_argument("--kinds", type=str.split, help=f"kinds to list or delete; default: all are listed. {kinds}")
    parser.add_argument("--delete", type=boolean, default=False, help="remove what is listed")
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.kinds or ()) - KINDS.keys()):
        parser.error(f"--kinds: no kind {unknown[0]!r}: choose from {', '.join(KINDS)}")

    from asrlib.utils.clean import find, refuse_if_running

    if args.delete:
        refuse_if_running([args.dump_dir, args.exp_dir, args.download_dir])
    wanted = args.kinds or (DEFAULT if args.delete else tuple(KINDS))
    rows = [row for row in find(args.dump_dir, args.exp_dir, args.download_dir) if row.kind in wanted]
    sizes = [row.size for row in rows]
    for row, size in zip(rows, sizes, strict=True):
        names = row.paths[0].name + (f" and {len(row.paths) - 1} more" if len(row.paths) > 1 else "")
        print(f"{row.kind:12}{size / 1e9:10.3f} GB  {row.folder}: {names}")
        if args.delete:
            row.remove()
    for kind in dict.fromkeys(row.kind for row in rows):
        print(f"{kind}: {KINDS[kind]}")
    print(
        f"{sum(sizes) / 1e9:.3f} GB "
        + ("removed" if args.delete else "can be made again; --delete true removes them, of checkpoints and former if named")
    )


if __name__ == "__main__":
    run(main)
