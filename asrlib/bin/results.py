"""Keeps the results of experiments in egs/results.csv and writes RESULTS.md and the tables of the recipes' READMEs from it."""

from pathlib import Path

from asrlib.utils.cli import Parser, paths, run


def main(argv=None) -> int | None:
    parser = Parser(__doc__)
    exp_dirs_help = "experiments of one recipe to add, which stage 6 has scored; without them the pages are written again"
    parser.add_argument("--exp_dirs", default="", type=paths, help=exp_dirs_help)
    parser.add_argument("--recipe", default="", help="the recipe of the experiments, such as an4/deepspeech2")
    parser.add_argument("--command", default="", help="command to print instead of that of the experiments, which may have folders of this machine")
    parser.add_argument("--data", choices=("real", "synthesised"), default="real", help="the kind of speech of its test sets")
    root = Path(__file__).resolve().parents[2]
    parser.add_argument("--root", type=Path, default=root, help="the checkout with egs/results.csv, RESULTS.md and egs/*/*/README.md")
    args = parser.parse_args(argv)
    if args.exp_dirs and not args.recipe:
        parser.error("--exp_dirs needs --recipe")

    from asrlib.report.records import add_records, records_of, write_pages

    new = [record for exp_dir in args.exp_dirs for record in records_of(exp_dir, args.recipe, args.data, args.command)]
    records = add_records(args.root / "egs/results.csv", new)
    for path in write_pages(args.root, records):
        print(path)


if __name__ == "__main__":
    run(main)
