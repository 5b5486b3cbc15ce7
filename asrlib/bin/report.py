"""Writes RESULTS.md of an experiment: its WER and CER tables with the command, configuration, versions, commit and seed."""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, paths, run


def main(argv=None) -> int | None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment with decode_*/SET/score_{wer,cer} folders")
    parser.add_argument("--command", default="", help="command line of the experiment, for the report")
    parser.add_argument("--baselines", default="", type=paths, help="experiments to compare with, which decoded the same sets")
    siblings_help = "also compare with every experiment in the same folder that decoded the same sets"
    parser.add_argument("--siblings", type=boolean, default=False, help=siblings_help)
    parser.add_argument("--published", type=Path, help="Markdown file with published results, for a section of its own")
    args = parser.parse_args(argv)

    from asrlib.report.baselines import siblings
    from asrlib.report.tables import write_results

    others = [other for other in siblings(args.exp_dir) if other not in args.baselines] if args.siblings else []
    path = write_results(args.exp_dir, args.command, args.baselines + others, args.published)
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    run(main)
