"""Writes a subset of a Kaldi data directory: some speakers, the first or last utterances, or a random sample.

subset_data data/train data/train_500 --num 500 --seed 1
subset_data data/train data/few --speakers "1272 2412" --first 10
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def get_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("source", type=Path, help="data directory")
    parser.add_argument("target", type=Path, help="data directory to write")
    count = parser.add_mutually_exclusive_group()
    count.add_argument("--first", type=int, help="number of utterances from the start of the sorted list")
    count.add_argument("--last", type=int, help="number of utterances from the end of the sorted list")
    count.add_argument("--num", type=int, help="number of utterances to sample at random")
    parser.add_argument("--speakers", help="only utterances of these speakers")
    parser.add_argument("--seed", type=int, default=0, help="seed of --num")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    from asrlib.corpora.kaldi_dir import KaldiDir
    from asrlib.corpora.kaldi_ops import subset

    data = KaldiDir.read(args.source)
    speakers = None if args.speakers is None else args.speakers.split()
    part = subset(data, first=args.first, last=args.last, num=args.num, speakers=speakers, seed=args.seed)
    part.write(args.target)
    print(f"{args.target}: {len(part)} of the {len(data)} utterances of {args.source}")


if __name__ == "__main__":
    run(main)
