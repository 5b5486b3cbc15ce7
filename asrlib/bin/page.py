"""Writes the page of an experiment, one HTML file that needs no network: results, curves, errors with sound, model, how to repeat it.

  asrlib page exp/TAG                        exp/TAG/page.html
  asrlib page exp/TAG exp/OTHER --out x.html the first one, compared with the others

What an experiment does not have is left out, with the stage that makes it. Recordings are read from the data directory of the references.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("exp_dirs", nargs="+", type=Path, metavar="EXP", help="folder of an experiment; the others are compared with the first")
    parser.add_argument("--out", type=Path, help="file to write; default: page.html in the folder of the first")
    parser.add_argument("--title", default="", help="title of the page; default: the name of the first experiment")
    parser.add_argument("--worst", type=int, default=20, help="utterances with the most errors to show of each set")
    parser.add_argument("--megabytes", type=float, default=10.0, help="size of all recordings and spectrograms at most; 0: none")
    siblings_help = "also compare with every experiment in the same folder that decoded the same sets"
    parser.add_argument("--siblings", type=boolean, default=False, help=siblings_help)
    args = parser.parse_args(argv)
    if args.worst < 0 or args.megabytes < 0:
        parser.error("--worst and --megabytes must not be negative")

    from asrlib.page.render import write_page
    from asrlib.report.baselines import siblings

    found = {folder.resolve(): folder for folder in reversed(args.exp_dirs)}
    folders = [folder for folder in args.exp_dirs if found.pop(folder.resolve(), None)]
    if args.siblings and folders[0].is_dir():
        folders += [other for other in siblings(folders[0]) if other.resolve() not in {one.resolve() for one in folders}]
    path, budget = write_page(folders, args.out, args.worst, args.megabytes, args.title)
    print(f"{path}: {path.stat().st_size / 1000:,.0f} kB, {budget.sounds} recordings: open it in a browser")


if __name__ == "__main__":
    run(main)
