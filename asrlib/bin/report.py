"""Writes RESULTS.md of an experiment: its WER and CER tables, and the command, configuration, versions, commit and seed that made them."""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, paths, run


def main(argv=None) -> int | None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment with decode_*/SET/score_{wer,cer} folders")
    parser.add_argument("--command", default="", help="the command that made the experiment")
    parser.add_argument("--baselines", default="", type=paths, help="other experiments that decoded the same sets, to compare with")
    parser.add_argument("--siblings", type=boolean, default=False, help="compare with every experiment beside it that decoded the same sets, too")
    parser.add_argument("--published", type=Path, help="Markdown file with published results, put apart")
    args = parser.parse_args(argv)

    from asrlib.report.baselines import siblings
    from asrlib.report.tables import write_results

    others = [other for other in siblings(args.exp_dir) if other not in args.baselines] if args.siblings else []
    path = write_results(args.exp_dir, args.command, args.baselines + others, args.published)
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    run(main)
