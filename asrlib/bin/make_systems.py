"""Writes the table of a sweep: every kept checkpoint of a pretraining, other upstreams beside them, each with each of some values of a key.

  make_systems --exp_dir exp/TAG --upstream wav2vec2_local --asr_exp exp/asr_CONFIG_TAG --out exp/asr_CONFIG_TAG/systems.tsv
  make_systems ... --updates "315000" --axis "optim_conf.lr=1e-4,2e-4,5e-4"                 one checkpoint, several learning rates
  make_systems ... --others "english=wav2vec2_local:english.pt random=wav2vec2_local:random.pt"

A checkpoint is EXP_DIR/updates/NUMBER/pt/PACKAGE (stage 4 makes it); its validation loss is that of EXP_DIR/history.jsonl. A system NAME is fine-tuned in ASR_EXP/NAME.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, assignments, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", type=Path, help="pretraining with its kept checkpoints; none: --others alone")
    parser.add_argument("--updates", default="", help="numbers of updates to take; none: all that are kept")
    parser.add_argument("--upstream", default="wav2vec2_local", help="upstream of s3prl for them: wav2vec2_local, hubert_local, progre_local")
    parser.add_argument("--package", default="s3prl.pt", help="file of a checkpoint in its pt/: s3prl.pt, of ProgRE progre.pt")
    parser.add_argument("--others", default="", type=assignments, help='other upstreams, "NAME=UPSTREAM:FILE NAME=UPSTREAM" (without FILE: one that s3prl has itself)')
    parser.add_argument("--axis", default="", help='a key of ESPnet and its values, "KEY=VALUE,VALUE": each system once for each')
    parser.add_argument("--asr_exp", required=True, type=Path, help="folder of the fine-tunings")
    parser.add_argument("--out", required=True, type=Path, help="the table")
    args = parser.parse_args(argv)

    from asrlib.config.systems import System, write_systems
    from asrlib.ms.training.history import read_history
    from asrlib.utils.errors import UserError

    sources: list[tuple[str, str, str, int | None, float | None]] = []
    if args.exp_dir:
        losses = {row["update"]: row["valid_loss"] for row in read_history(args.exp_dir) if "valid_loss" in row}
        for number, path in _kept(args.exp_dir, args.package, args.updates.split()).items():
            sources.append((f"{number}", args.upstream, str(path), number, losses.get(number)))
    for word in args.others:
        name, equals, source = word.partition("=")
        upstream, _, file = source.partition(":")
        if not (name and equals and upstream):
            raise UserError(f"--others: {word!r} is not NAME=UPSTREAM:FILE")
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
    """Numbers of updates and their packages, in order. UserError: there is none, or not one that is wanted."""
    from asrlib.utils.errors import UserError

    found = {int(path.parts[-3]): path for path in exp_dir.glob(f"updates/[0-9]*/pt/{package}")}
    missing = [number for number in wanted if not (number.isdigit() and int(number) in found)]
    if missing or not found:
        what = f"{exp_dir}/updates has no {package} of {' '.join(missing) or 'any checkpoint'}, it has {' '.join(map(str, sorted(found))) or 'none'}"
        raise UserError(f"{what}: set trainer.keep_updates, run stages 3 and 4")
    return {number: found[number] for number in sorted(found) if not wanted or str(number) in wanted}


if __name__ == "__main__":
    run(main)
