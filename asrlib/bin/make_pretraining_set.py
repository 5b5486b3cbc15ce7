"""Combines Kaldi data directories, which need no transcripts, to the set that a recipe pretrains on.

  make_pretraining_set --data_dirs "data/train /corpora/a/train" --train_dir data/train --against "data/dev data/test" --out data/pretrain

Every directory is checked with its audio files; recordings with another rate than 16 kHz are resampled when they are read. Of directories other than
--train_dir, utterances are left out that have a transcript of the sets in --against (as in filter_leaks) or a recording of theirs. OUT has no
transcripts; OUT/leaks.tsv lists what was left out, OUT/hours.tsv the hours.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, paths, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--data_dirs", required=True, type=paths, help="Kaldi data directories")
    parser.add_argument("--out", required=True, type=Path, help="data directory to write")
    against_help = "evaluation sets: Kaldi directories, folders that hold dev and test, or data_aishell; none: no filter"
    parser.add_argument("--against", default="", type=paths, help=against_help)
    parser.add_argument(
        "--train_dir", type=Path, help="the training set that belongs to the evaluation sets: if it is in --data_dirs, it stays whole"
    )
    sentences_help = "leave out what has a transcript of --against; false: only what has a recording"
    parser.add_argument("--filter_sentences", type=boolean, default=True, help=sentences_help)
    parser.add_argument("--audio_root", type=Path, help="folder that relative paths in wav.scp start from, or one above the data directory")
    parser.add_argument("--fix", type=boolean, default=False, help="repair or drop invalid utterances instead of failing")
    args = parser.parse_args(argv)

    from asrlib.corpora.unlabelled import read_unlabelled, same_folder, unlabelled_set
    from asrlib.text.simplify import comparable
    from asrlib.utils.errors import UserError

    if not args.data_dirs:
        parser.error("--data_dirs: give one or more Kaldi data directories")
    if repeated := next((path for i, path in enumerate(args.data_dirs) if any(same_folder(path, other) for other in args.data_dirs[:i])), None):
        raise UserError(f"--data_dirs: {repeated} is given twice: remove one of the two")
    parts = {str(path): read_unlabelled(path, args.audio_root, args.fix) for path in args.data_dirs}
    trusted = next((name for name in parts if args.train_dir and same_folder(Path(name), args.train_dir)), "")
    sets = unlabelled_set(parts, args.against, comparable if args.filter_sentences else None, trusted)
    sets.prepared["pretrain"].write(args.out)
    sets.write_tables(args.out)
    print(f"{args.out}: {len(sets.prepared['pretrain'].data)} utterances from {len(parts)} directories")


if __name__ == "__main__":
    run(main)
