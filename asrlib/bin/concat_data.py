"""Joins every NUM consecutive utterances of a speaker, in the order of their ids, into one longer utterance.

  concat_data --data_dir data/train --out data/train_6 --num 6

No audio is copied: OUT/utt2parts lists the recordings of each utterance. The last utterance of a speaker may have fewer parts.
Durations are those of utt2dur; where it is missing, the headers of the files are read.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="Kaldi data directory without segments")
    parser.add_argument("--out", type=Path, required=True, help="data directory to write")
    parser.add_argument("--num", type=int, default=6, help="utterances to join into one")
    args = parser.parse_args(argv)

    from asrlib.corpora.durations import seconds, with_durations
    from asrlib.corpora.kaldi_dir import KaldiDir
    from asrlib.corpora.kaldi_ops import concat

    data = KaldiDir.on_disk(args.data_dir)
    joined = with_durations(concat(data, args.num))
    joined.write(args.out)
    hours = sum(seconds(joined).tolist()) / 3600
    print(f"{args.out}: {len(joined)} utterances, {hours:.2f} hours, joined from the {len(data)} of {args.data_dir}")


if __name__ == "__main__":
    run(main)
