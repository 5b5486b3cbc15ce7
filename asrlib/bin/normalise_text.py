"""Normalises the transcripts of a Kaldi text file to the conventions of LibriSpeech (en) or AISHELL-1 (zh).

  normalise_text --language en --text data/train/text --out data/train/text

Digits and symbols that are read aloud are kept (make_tokens reports them); with --spoken true they become words.
An utterance whose transcript becomes empty is kept and reported.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--language", required=True, choices=("en", "zh"))
    parser.add_argument("--text", required=True, type=Path, help="text file with an utterance id first in each line")
    parser.add_argument("--spoken", type=boolean, default=False, help="en: write numbers, sums of money and titles as the words that are read aloud")
    parser.add_argument("--keep", default="", help="punctuation to keep")
    parser.add_argument("--out", required=True, type=Path, help="text file to write; may be --text itself")
    args = parser.parse_args(argv)

    from asrlib.corpora.kaldi_table import write_table
    from asrlib.score.texts import read_text
    from asrlib.text.normalise import normalise_en, normalise_zh
    from asrlib.utils.log import get_logger

    log = get_logger(__name__)
    normalise = normalise_en if args.language == "en" else normalise_zh
    before = read_text(args.text)
    if args.spoken and args.language == "en":
        from asrlib.text.spoken import spoken_en

        written, normalise = normalise, lambda text, keep: written(spoken_en(text), keep)
    after = {utt: normalise(text, args.keep) for utt, text in before.items()}
    write_table(args.out, after)
    log.info("%d of %d transcripts changed -> %s", sum(before[utt] != after[utt] for utt in before), len(before), args.out)
    if emptied := [utt for utt in before if before[utt] and not after[utt]]:
        log.warning("%d transcripts are empty after normalisation, the first is %s: %r", len(emptied), emptied[0], before[emptied[0]])


if __name__ == "__main__":
    run(main)
