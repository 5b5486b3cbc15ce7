"""Scores hypotheses against references: word or character error rate, pooled over the reference set.

Both files hold `UTTERANCE-ID words...` lines, or sclite's trn (`words... (UTTERANCE-ID)`), and are joined by id. Counts equal those of NIST
sclite (-s, case-sensitive) for text of composed characters: all is compared in NFC. References may have sclite's alternatives ({ A / B }, @). A
missing hypothesis counts as all deletions and gives a warning; a hypothesis without a reference is an error unless --allow_extra true. Characters
are counted without spaces; a tag (<NOISE>) is one. Differences that are likely no errors (case, apostrophes, tags, compatibility forms, invisible
characters) give a warning with the option that leaves them out. A reference set without any word has no error rate: null in result.json,
"undefined" in result.txt.

The interval is from 10,000 bootstrap samples; with more than 20,000 different rows of counts they are drawn from 10,000 blocks of utterances.
Writes result.json, result.txt, per_utt.tsv, alignments.txt and confusions.tsv into --out.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def main(argv=None) -> int | None:
    from asrlib.score.conventions import add_options, from_options

    parser = Parser(__doc__)
    parser.add_argument("--ref", required=True, type=Path, help="reference text file")
    parser.add_argument("--hyp", required=True, type=Path, help="hypothesis text file")
    parser.add_argument("--unit", required=True, choices=("word", "char"), help="unit of the error rate")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--utt2spk", type=Path, help="utt2spk file for the rows of result.txt; default: the one beside --ref")
    parser.add_argument("--ci95_over", choices=("utterance", "speaker"), default="utterance", help="what the bootstrap of the interval resamples")
    parser.add_argument("--allow_extra", type=boolean, default=False, help="ignore hypotheses without a reference instead of failing")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    add_options(parser)
    args = parser.parse_args(argv)

    from asrlib.score.error_rate import score
    from asrlib.score.files import table, write_score
    from asrlib.score.texts import read_texts, speakers_beside

    speakers = speakers_beside(args.ref, args.utt2spk)
    ref, hyp = read_texts(args.ref, args.hyp)
    result = score(ref, hyp, args.unit, speakers, args.allow_extra, args.ci95_over, args.seed, from_options(args))
    write_score(result, args.out, ref=str(args.ref), hyp=str(args.hyp))
    print(table(result), end="")


if __name__ == "__main__":
    run(main)
