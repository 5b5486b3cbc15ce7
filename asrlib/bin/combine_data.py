"""Combines several Kaldi data directories into one; a duplicate utterance id is an error.

combine_data data/train_960 data/train_clean_100 data/train_clean_360 data/train_other_500
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def get_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("target", type=Path, help="data directory to make")
    parser.add_argument("sources", nargs="+", type=Path, help="data directories")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    from asrlib.corpora.kaldi_dir import KaldiDir
    from asrlib.corpora.kaldi_ops import combine

    data = combine([KaldiDir.read(source) for source in args.sources], [str(source) for source in args.sources])
    data.write(args.target)
    print(f"{args.target}: {len(data)} utterances from {len(args.sources)} directories")


if __name__ == "__main__":
    run(main)
