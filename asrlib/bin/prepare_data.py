"""Makes validated Kaldi data directories from a corpus: DATA_DIR/train, DATA_DIR/dev and one for each test set.

  prepare_data --corpus librispeech --corpus_dir downloads/LibriSpeech --train_sets "train-clean-100" --valid_sets "dev-clean" --test_sets "test-clean"
  prepare_data --corpus aishell1 --corpus_dir downloads/data_aishell
  prepare_data --corpus aishell2 --corpus_dir AISHELL-2 --aishell1_dir downloads/data_aishell --concat 6 --valid_portion 0.01
  prepare_data --corpus kaldi --train_dir my/train --test_dirs "my/test" --valid_portion 0.05 --audio_root my/recordings

Nothing is dropped unless --fix true is given; then what is dropped stands with its reason in bad_utts.txt beside wav.scp.
AISHELL-2 is for pretraining: utterances with a transcript of AISHELL-1's dev or test are left out (DATA_DIR/leaks.tsv), the others concatenated, and a part
is drawn for dev (DATA_DIR/hours.tsv has the hours of each step).
"""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, paths, run

CORPORA = ["librispeech", "mini_librispeech", "aishell1", "mini_aishell1", "aishell2", "mini_aishell2", "kaldi"]


def get_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("--corpus", required=True, choices=CORPORA)
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="where the directories are made")
    libri = parser.add_argument_group("corpora, mini or not (the sets are LibriSpeech's)")
    libri.add_argument("--corpus_dir", type=Path, help="the folder that holds the sets; of AISHELL-1 data_aishell, of AISHELL-2 the one with iOS")
    libri.add_argument("--train_sets", default="", help="sets combined as train")
    libri.add_argument("--valid_sets", default="", help="sets combined as dev")
    libri.add_argument("--test_sets", default="", help="sets, each prepared under its name with _ for -")
    libri.add_argument("--check_counts", default="auto", choices=["auto", "true", "false"], help="assert the published number of utterances")
    aishell2 = parser.add_argument_group("aishell2, mini_aishell2")
    aishell2.add_argument("--aishell1_dir", default="", type=paths, help="data_aishell, or Kaldi directories of its dev and test, or a folder with these two")
    aishell2.add_argument("--filter_leaks", type=boolean, default=True, help="leave out what has a transcript of AISHELL-1's dev or test")
    aishell2.add_argument("--concat", type=int, default=6, help="utterances of a speaker that become one; 1: each stays")
    kaldi = parser.add_argument_group("kaldi")
    kaldi.add_argument("--train_dir", type=Path, help="data directory to train on")
    kaldi.add_argument("--valid_dir", type=Path, help="data directory to validate on; without it a part of train_dir is used")
    kaldi.add_argument("--test_dirs", default="", type=paths, help="data directories to test on")
    kaldi.add_argument("--audio_root", type=Path, help="folder from which relative paths in wav.scp count; default: the current one, or one above the data directory")
    kaldi.add_argument("--allow_pipes", type=boolean, default=False, help='accept (and later run) commands in wav.scp ("sox ... |")')
    kaldi.add_argument("--no_spk_sort", type=boolean, default=False, help="accept utterance ids that do not begin with the speaker id")
    parser.add_argument("--valid_portion", type=float, help="part of the utterances taken for dev; default: 0.05 of --train_dir, 0.01 of AISHELL-2")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of that part")
    parser.add_argument("--audio", type=boolean, default=True, help="open every audio file: header, last sample, NaN")
    parser.add_argument("--fix", type=boolean, default=False, help="repair or set aside what is faulty instead of refusing it")
    return parser


def main(argv=None) -> None:
    parser = get_parser()
    args = parser.parse_args(argv)
    kaldi = args.corpus == "kaldi"
    if not (args.train_dir or args.valid_dir or args.test_dirs if kaldi else args.corpus_dir):
        parser.error("--corpus kaldi needs --train_dir or --test_dirs" if kaldi else f"--corpus {args.corpus} needs --corpus_dir")
    if "librispeech" in args.corpus and not (args.train_sets or args.valid_sets or args.test_sets):
        parser.error("name at least one set in --train_sets, --valid_sets or --test_sets")
    from asrlib.corpora.kaldi_validate import Rules
    from asrlib.corpora.prepare import prepare_aishell1, prepare_kaldi, prepare_librispeech, write

    if kaldi:
        rules = Rules(spk_sort=not args.no_spk_sort, allow_pipes=args.allow_pipes, audio=args.audio, audio_root=args.audio_root)
        portion = 0.05 if args.valid_portion is None else args.valid_portion
        options = {"rules": rules, "valid_portion": portion, "seed": args.seed, "fix": args.fix}
        prepared = prepare_kaldi(args.train_dir, args.valid_dir, args.test_dirs, **options)
    elif "aishell2" in args.corpus:
        _prepare_aishell2(args)
        return
    elif "aishell1" in args.corpus:
        prepared = prepare_aishell1(args.corpus_dir, check_counts=args.check_counts, audio=args.audio, fix=args.fix)
    else:
        sets = [names.split() for names in (args.train_sets, args.valid_sets, args.test_sets)]
        prepared = prepare_librispeech(args.corpus_dir, *sets, check_counts=args.check_counts, audio=args.audio, fix=args.fix)
    write(prepared, args.data_dir)


def _prepare_aishell2(args) -> None:
    from asrlib.corpora.leaks import transcripts
    from asrlib.corpora.prepare import prepare_aishell2, write
    from asrlib.corpora.pretraining import pretraining_sets
    from asrlib.text.simplify import comparable
    from asrlib.utils.errors import UserError

    if args.filter_leaks and not args.aishell1_dir:
        raise UserError("--aishell1_dir is needed: AISHELL-1, whose dev and test sentences are left out; or --filter_leaks false to leave them in")
    against = transcripts(args.aishell1_dir) if args.filter_leaks else None
    corpus = prepare_aishell2(args.corpus_dir, check_counts=args.check_counts, audio=args.audio, fix=args.fix)
    portion = 0.01 if args.valid_portion is None else args.valid_portion
    sets = pretraining_sets(corpus, against, comparable, args.concat, portion, args.seed)
    write(sets.prepared, args.data_dir)
    sets.write_tables(args.data_dir)


if __name__ == "__main__":
    run(main)
