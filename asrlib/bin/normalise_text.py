"""Normalises the transcripts of a Kaldi text file to the conventions of LibriSpeech (en) or AISHELL-1 (zh).

  normalise_text --language en --text data/train/text --out data/train/text

Digits, signs of numbers and symbols that are read aloud are kept and reported; with --spoken true they become words where there is one way to
read them. Tags of sounds ([noise], <sil>, (uh), (F えー)) are removed; tags of words that were spoken but not written (<unk>, [inaudible]) stay:
--remove_tags all removes them, too, none keeps all. The marks of CSJ give way to the words in them, (W said;meant) to what was said. The log counts
the tags, and says if words in other round brackets stay. An utterance whose transcript becomes empty is kept and reported.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--language", required=True, choices=("en", "zh"))
    parser.add_argument("--text", required=True, type=Path, help="text file with an utterance id first in each line")
    parser.add_argument("--spoken", type=boolean, default=False, help="en: write numbers, sums of money and titles as the words that are read aloud")
    parser.add_argument("--remove_tags", choices=("sounds", "all", "none"), default="sounds", help="tags to remove")
    parser.add_argument("--keep", default="", help="punctuation to keep")
    parser.add_argument("--out", required=True, type=Path, help="text file to write; may be --text itself")
    args = parser.parse_args(argv)
    if args.spoken and args.language != "en":
        parser.error("--spoken true is for --language en: write the numbers of other languages as words by hand")

    from asrlib.corpora.kaldi_table import write_table
    from asrlib.score.texts import read_text
    from asrlib.text.normalise import normalise_en, normalise_zh, unspelled
    from asrlib.text.tags import remove_tags, report_brackets, report_tags, stands_for_words
    from asrlib.utils.log import get_logger

    log = get_logger(__name__)
    normalise = normalise_en if args.language == "en" else normalise_zh
    before = read_text(args.text)
    kept = {"sounds": stands_for_words, "all": lambda tag: False, "none": lambda tag: True}[args.remove_tags]
    report_tags(before, kept)
    after = {utt: remove_tags(text, kept) for utt, text in before.items()}
    report_brackets(after)
    if args.spoken:
        from asrlib.text.spoken import spoken_en

        after = {utt: spoken_en(text) for utt, text in after.items()}
    after = {utt: normalise(text, args.keep) for utt, text in after.items()}
    write_table(args.out, after)
    log.info("%d of %d transcripts changed -> %s", sum(before[utt] != after[utt] for utt in before), len(before), args.out)
    if numbers := [utt for utt in after if unspelled(after[utt], args.keep)]:
        what = "%d transcripts have digits or signs that are read aloud: write them as words; the first is %s: %r"
        log.warning(what, len(numbers), numbers[0], after[numbers[0]])
    if emptied := [utt for utt in before if before[utt] and not after[utt]]:
        log.warning("%d transcripts are empty after normalisation, the first is %s: %r", len(emptied), emptied[0], before[emptied[0]])


if __name__ == "__main__":
    run(main)
