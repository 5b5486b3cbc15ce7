"""Makes validated Kaldi data directories from a corpus: DATA_DIR/train, DATA_DIR/dev and one for each test set.

  prepare_data --corpus librispeech --corpus_dir downloads/LibriSpeech --train_sets train-clean-100 --valid_sets dev-clean --test_sets test-clean
  prepare_data --corpus aishell1 --corpus_dir downloads/data_aishell
  prepare_data --corpus aishell2 --corpus_dir AISHELL-2 --aishell1_dir downloads/data_aishell --concat 6 --valid_portion 0.01
  prepare_data --corpus speechocean762 --corpus_dir downloads/speechocean762
  prepare_data --corpus kaldi --train_dir my/train --test_dirs "my/test" --valid_portion 0.05 --audio_root my/recordings

--corpus NAME --help also lists the options of that corpus.
Utterances are dropped only with --fix true, and none of a test set; bad_utts.txt beside wav.scp then lists them with the reasons.
AISHELL-2 is for pretraining. Utterances with a transcript of AISHELL-1's dev or test are skipped (DATA_DIR/leaks.tsv), the others are concatenated,
and a part is drawn for dev (DATA_DIR/hours.tsv has the hours after each step).
"""

from argparse import ArgumentError
from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def get_parser(corpus: str | None = None) -> Parser:
    """The options of every corpus and, with a name, those of that corpus."""
    from asrlib.corpora.registry import load, names

    corpora = names("prepare")
    parser = Parser(__doc__)
    parser.add_argument("--corpus", required=True, choices=corpora)
    parser.add_argument(
        "--corpus_dir", type=Path, help="folder of the sets; AISHELL-1: data_aishell; AISHELL-2: the one that holds iOS; AN4: an4; speechocean762"
    )
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="output folder")
    parser.add_argument("--check_counts", default="auto", choices=["auto", "true", "false"], help="require the published number of utterances")
    parser.add_argument("--audio", type=boolean, default=True, help="check the header, the last sample and NaN of every audio file, on all cores")
    parser.add_argument("--fix", type=boolean, default=False, help="repair or drop invalid utterances instead of failing")
    if corpus in corpora and hasattr(load(corpus, "prepare"), "add_options"):
        load(corpus, "prepare").add_options(parser)
    return parser


def main(argv=None) -> None:
    first = Parser("", add_help=False)
    first.add_argument("--corpus", nargs="?")
    parser = get_parser(first.parse_known_args(argv)[0].corpus)
    args = parser.parse_args(argv)

    from asrlib.corpora.prepare import write
    from asrlib.corpora.registry import CORPORA, load
    from asrlib.text.simplify import comparable

    if args.corpus_dir is None and CORPORA[args.corpus].has_folder:
        parser.error(f"--corpus {args.corpus} needs --corpus_dir")
    args.comparable = comparable
    try:
        prepared = load(args.corpus, "prepare").prepare_data(args.corpus_dir, args)
    except ArgumentError as error:
        parser.error(str(error))
    write(prepared, args.data_dir)


if __name__ == "__main__":
    run(main)
