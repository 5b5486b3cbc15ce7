"""Leaves out the utterances of a Kaldi data directory that say what one of an evaluation set says, word for word, so that it is not trained on.

  filter_leaks --data_dir data/train --against "data/dev data/test" --out data/train_noleak

Transcripts are compared without spaces, punctuation, case, width, and in simplified characters. OUT gets the directory that is left and leaks.tsv (utterance,
transcript, the set and the utterance it equals); the hours before and after are printed and stand in OUT/hours.tsv.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, paths, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="Kaldi data directory with transcripts, before it is concatenated")
    parser.add_argument("--against", required=True, type=paths, help="evaluation sets: Kaldi directories, folders with dev and test in them, data_aishell")
    parser.add_argument("--out", type=Path, required=True, help="data directory to make; may be the same")
    args = parser.parse_args(argv)

    from asrlib.corpora.durations import with_durations, write_hours
    from asrlib.corpora.kaldi_dir import KaldiDir
    from asrlib.corpora.leaks import find_leaks, transcripts, without, write_leaks
    from asrlib.text.simplify import comparable

    data = KaldiDir.read(args.data_dir)
    leaks = find_leaks(data, transcripts(args.against), comparable)
    data = with_durations(data)
    rest = without(data, leaks)
    rest.write(args.out)
    write_leaks(args.out / "leaks.tsv", leaks)
    write_hours(args.out / "hours.tsv", {"before": data, "after": rest})
    print((args.out / "hours.tsv").read_text(), end="")
    print(f"{args.out}: {len(rest)} of the {len(data)} utterances of {args.data_dir}, {len(leaks)} left out (leaks.tsv)")


if __name__ == "__main__":
    run(main)
