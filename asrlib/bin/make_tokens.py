"""Writes the token list of a recipe, from a label file or from the training text, and checks every transcript against it.

  make_tokens --text data/train/text --check data/dev/text --labels conf/labels_en.txt --out dump/tokens.txt
  make_tokens --type sentencepiece --nbpe 300 --text data/train/text --out dump/tokens.txt

The list has one token per line, <space> for the space and <blank> last. Nothing is written unless the tokens cover all texts. SentencePiece learns
from --sentences sentences, drawn at random with a fixed seed, if there are more, and has all characters of the others, too; the log tells it.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, paths, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--type", choices=("char", "word", "sentencepiece"), default="char", help="what a token is")
    parser.add_argument("--text", required=True, type=Path, help="Kaldi text file of the training set")
    parser.add_argument("--check", default="", type=paths, help="other text files that the tokens must cover")
    parser.add_argument("--labels", type=Path, help="file with one label per line; default: derived from --text")
    parser.add_argument("--nbpe", type=int, default=500, help="largest number of SentencePiece pieces")
    parser.add_argument("--sentences", type=int, default=200_000, help="most sentences that SentencePiece learns from")
    parser.add_argument("--out", required=True, type=Path, help="token list to write")
    args = parser.parse_args(argv)
    if args.labels and args.type == "sentencepiece":
        parser.error("--labels and --type sentencepiece are mutually exclusive: SentencePiece learns its pieces from --text")
    if args.sentences < 1:
        parser.error(f"--sentences {args.sentences}: give a positive number")

    from asrlib.score.texts import read_text
    from asrlib.text.tags import report_phrases
    from asrlib.text.vocabulary import check_texts, make_tokenizer, read_tokenizer
    from asrlib.utils.log import get_logger

    files = {str(path): read_text(path) for path in [args.text, *args.check]}
    report_phrases(files[str(args.text)], "words" if args.type == "word" else "one token")
    tokenizer = read_tokenizer(args.type, args.labels) if args.labels else make_tokenizer(args.type, files[str(args.text)], args.nbpe, args.sentences)
    check_texts(tokenizer, files)
    tokenizer.save(args.out)
    get_logger(__name__).info("%d tokens, blank %d -> %s", len(tokenizer.tokens), tokenizer.blank, args.out)


if __name__ == "__main__":
    run(main)
