"""Makes a Kaldi data directory of longer utterances: every NUM consecutive ones of a speaker, in the order of their ids, become one.

  concat_data --data_dir data/train --out data/train_6 --num 6

No audio is copied: OUT/utt2parts names the recordings, which are read one after the other. None has two speakers, so the last of a speaker may be shorter.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="Kaldi data directory without segments")
    parser.add_argument("--out", type=Path, required=True, help="data directory to make")
    parser.add_argument("--num", type=int, default=6, help="utterances that become one")
    args = parser.parse_args(argv)

    from asrlib.corpora.durations import durations, with_durations
    from asrlib.corpora.kaldi_dir import KaldiDir
    from asrlib.corpora.kaldi_ops import concat

    data = KaldiDir.read(args.data_dir)
    joined = with_durations(concat(data, args.num))
    joined.write(args.out)
    hours = sum(durations(joined).values()) / 3600
    print(f"{args.out}: {len(joined)} utterances of the {len(data)} of {args.data_dir}, {hours:.2f} hours")


if __name__ == "__main__":
    run(main)
