"""Writes the table of systems for a sweep: kept checkpoints of a pretraining and other upstreams, each with every value of a key.

  make_systems --exp_dir exp/TAG --upstream wav2vec2_local --asr_exp exp/asr_CONFIG_TAG --out exp/asr_CONFIG_TAG/systems.tsv
  make_systems ... --updates "315000" --axis "optim_conf.lr=1e-4,2e-4,5e-4"                 one checkpoint, several learning rates
  make_systems ... --others "english=wav2vec2_local:english.pt random=wav2vec2_local:random.pt"

A checkpoint is EXP_DIR/updates/NUMBER/pt/PACKAGE, which stage 4 writes; its validation loss is read from EXP_DIR/history.jsonl.
The system NAME is fine-tuned in ASR_EXP/NAME.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, assignments, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", type=Path, help="pretraining with kept checkpoints; default: only the upstreams in --others")
    parser.add_argument("--updates", default="", help="update numbers of the checkpoints to use; empty: all that are kept")
    parser.add_argument("--upstream", default="wav2vec2_local", help="s3prl upstream of the checkpoints: wav2vec2_local, hubert_local, progre_local")
    parser.add_argument("--package", default="s3prl.pt", help="file of a checkpoint in its folder pt: s3prl.pt, for ProgRE progre.pt")
    others_help = 'other upstreams, "NAME=UPSTREAM:FILE NAME=UPSTREAM"; without FILE: s3prl\'s own checkpoint'
    parser.add_argument("--others", default="", type=assignments, help=others_help)
    parser.add_argument("--axis", default="", help='an ESPnet key and its values, "KEY=VALUE,VALUE": each system is listed once per value')
    parser.add_argument("--asr_exp", required=True, type=Path, help="folder of the fine-tunings")
    parser.add_argument("--out", required=True, type=Path, help="table to write")
    args = parser.parse_args(argv)

    from asrlib.config.systems import System, write_systems
    from asrlib.report.history import history_rows
    from asrlib.utils.errors import UserError

    sources: list[tuple[str, str, str, int | None, float | None]] = []
    if args.exp_dir:
        losses = {row["update"]: row["valid_loss"] for row in history_rows(args.exp_dir) if "valid_loss" in row}
        for number, path in _kept(args.exp_dir, args.package, args.updates.split()).items():
            sources.append((f"{number}", args.upstream, str(path), number, losses.get(number)))
    for entry in args.others:
        name, equals, source = entry.partition("=")
        upstream, _, file = source.partition(":")
        if not (name and equals and upstream):
            raise UserError(f"--others: {entry!r} is not NAME=UPSTREAM:FILE")
        sources.append((name, upstream, file, None, None))
    key, _, values = args.axis.partition("=")
    if args.axis and not all([key, *values.split(",")]):
        raise UserError(f"--axis: {args.axis!r} is not KEY=VALUE,VALUE")
    systems = []
    for name, *rest in sources:
        for value in values.split(","):
            full, asr_args = (f"{name}_{key.rpartition('.')[2]}{value}", f"{key}={value}") if key else (name, "")
            systems.append(System(full, *rest, asr_args, args.asr_exp / full))
    write_systems(systems, args.out)


def _kept(exp_dir: Path, package: str, wanted: list[str]) -> dict[int, Path]:
    """Update number -> package, in order. UserError: no checkpoint has the package, or one of `wanted` has not."""
    from asrlib.utils.errors import UserError

    found = {int(path.parts[-3]): path for path in exp_dir.glob(f"updates/[0-9]*/pt/{package}")}
    missing = [number for number in wanted if not (number.isdigit() and int(number) in found)]
    if missing or not found:
        what = f"{exp_dir}/updates has no {package} for {' '.join(missing) or 'any update'}, only for {' '.join(map(str, sorted(found))) or 'none'}"
        raise UserError(f"{what}: set trainer.keep_updates and run stages 3 and 4")
    return {number: found[number] for number in sorted(found) if not wanted or str(number) in wanted}


if __name__ == "__main__":
    run(main)
