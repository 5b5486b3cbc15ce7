"""Removes the utterances of a Kaldi data directory whose transcript occurs in an evaluation set.

  filter_leaks --data_dir data/train --against "data/dev data/test" --out data/train_noleak

Transcripts are compared in simplified characters, ignoring spaces, punctuation, case and width. OUT holds the filtered directory,
leaks.tsv (utterance, transcript, and the set and utterance with the same transcript) and hours.tsv (hours before and after). Hours are those of
utt2dur; where it is missing, the headers of the files are read and OUT gets one.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, paths, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="Kaldi data directory with transcripts, before it is concatenated")
    against_help = "evaluation sets: Kaldi directories, folders that hold dev and test, or data_aishell"
    parser.add_argument("--against", required=True, type=paths, help=against_help)
    parser.add_argument("--out", type=Path, required=True, help="data directory to write; may be --data_dir itself")
    args = parser.parse_args(argv)

    from asrlib.corpora.durations import with_durations, write_hours
    from asrlib.corpora.kaldi_dir import KaldiDir
    from asrlib.corpora.leaks import find_leaks, transcripts, without, write_leaks
    from asrlib.text.simplify import comparable

    data = KaldiDir.on_disk(args.data_dir)
    leaks = find_leaks(data, transcripts(args.against), comparable)
    data = with_durations(data)
    rest = without(data, leaks)
    rest.write(args.out)
    write_leaks(args.out / "leaks.tsv", leaks)
    write_hours(args.out / "hours.tsv", {"before": data, "after": rest})
    print((args.out / "hours.tsv").read_text(), end="")
    print(f"{args.out}: {len(rest)} of the {len(data)} utterances of {args.data_dir}, {len(leaks)} removed (leaks.tsv)")


if __name__ == "__main__":
    run(main)
