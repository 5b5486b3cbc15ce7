"""Compares two systems on one test set: difference of the error rates, its paired bootstrap interval and the utterances that changed.

All three files are as for `score`, and so are the options of what counts as equal. A missing hypothesis counts as all deletions. Writes
comparison.json and comparison.txt, which lists regressions first and improvements last with both alignments.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def main(argv=None) -> int | None:
    from asrlib.score.conventions import add_options, from_options

    parser = Parser(__doc__)
    parser.add_argument("--ref", required=True, type=Path, help="reference text file")
    parser.add_argument("--hyp_a", required=True, type=Path, help="hypotheses of the first system (the baseline)")
    parser.add_argument("--hyp_b", required=True, type=Path, help="hypotheses of the second system")
    parser.add_argument("--unit", required=True, choices=("word", "char"), help="unit of the error rate")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--utt2spk", type=Path, help="utt2spk file, for --ci95_over speaker; default: the one beside --ref")
    parser.add_argument("--ci95_over", choices=("utterance", "speaker"), default="utterance", help="what the bootstrap resamples")
    parser.add_argument("--allow_extra", type=boolean, default=False, help="ignore hypotheses without a reference instead of failing")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    add_options(parser)
    args = parser.parse_args(argv)

    from asrlib.score.compare import compare, write_comparison
    from asrlib.score.error_rate import score
    from asrlib.score.texts import read_texts, speakers_beside

    ref, *hyps = read_texts(args.ref, args.hyp_a, args.hyp_b)
    speakers, conventions = speakers_beside(args.ref, args.utt2spk), from_options(args)
    a, b = (score(ref, hyp, args.unit, speakers, args.allow_extra, args.ci95_over, args.seed, conventions) for hyp in hyps)
    facts = {"ref": str(args.ref), "hyp_a": str(args.hyp_a), "hyp_b": str(args.hyp_b)}
    print(write_comparison(compare(a, b, args.seed), args.out, **facts), end="")


if __name__ == "__main__":
    run(main)
