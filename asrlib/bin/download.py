"""Downloads a corpus, or synthesises a mini corpus, into its folder in DOWNLOAD_DIR: LibriSpeech, data_aishell, AISHELL-2, an4, speechocean762.

  download --corpus librispeech --download_dir downloads --sets "train-clean-100 dev-clean test-clean"
  download --corpus mini_librispeech --download_dir downloads
  download --corpus aishell1 --download_dir downloads
  download --corpus librispeech_lm --download_dir downloads --sets 3-gram.pruned.1e-7
  download --corpus mini_aishell2 --download_dir downloads      the real AISHELL-2 needs a licence: prepare_data says how to get it

An interrupted download is resumed; archives are verified by their published md5, if there is one. Complete sets are not downloaded again.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def get_parser() -> Parser:
    from asrlib.corpora.registry import names

    parser = Parser(__doc__)
    parser.add_argument("--corpus", required=True, choices=names("download"))
    parser.add_argument("--download_dir", type=Path, required=True)
    parser.add_argument("--sets", default="train-clean-100 dev-clean test-clean", help="sets of librispeech, or n-gram models of librispeech_lm")
    parser.add_argument("--mirror", help="URL to which the archives' names are appended; default: the corpus's own site")
    parser.add_argument("--remove_archive", type=boolean, default=False, help="delete each archive once it is unpacked")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mini corpus")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    from asrlib.corpora.registry import load

    load(args.corpus, "download").download_data(args.download_dir, args)


if __name__ == "__main__":
    run(main)
