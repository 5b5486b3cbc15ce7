"""Decodes and scores the outputs of infer: OUT/text (best path, a line for every utterance) and OUT/score_{wer,cer}, as decode and score write them.

Every word counts: nothing is removed from the hypotheses, and the padding behind an output's length is not decoded.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of train: its tokens.txt")
    parser.add_argument("--inputs", type=Path, default=Path("preprocess_Result"), help="folder that preprocess has written")
    parser.add_argument("--results", type=Path, default=Path("result_Files"), help="folder that infer has written")
    parser.add_argument("--ref", type=Path, help="reference text file; default: the hypotheses are not scored")
    parser.add_argument("--out", required=True, type=Path, help="folder of the hypotheses and scores")
    args = parser.parse_args(argv)

    from asrlib.corpora.kaldi_table import write_table
    from asrlib.decode.run import decode_all
    from asrlib.ms.inference.binaries import read_outputs
    from asrlib.score.error_rate import score
    from asrlib.score.files import table, write_score
    from asrlib.score.texts import read_text, speakers_beside
    from asrlib.text.tokenizers import load_tokenizer

    tokenizer, hyp = load_tokenizer(args.exp_dir / "tokens.txt"), args.out / "text"
    texts = {
        utt: decode_all([log_probs], tokenizer.tokens, tokenizer.blank, "greedy", separator=tokenizer.separator)[0]
        for utt, log_probs in read_outputs(args.inputs, args.results, len(tokenizer.tokens))
    }
    write_table(hyp, texts)
    print(f"{hyp}: {len(texts)} utterances")
    for unit in ("word", "char") if args.ref else ():
        result = score(read_text(args.ref), read_text(hyp), unit, speakers_beside(args.ref))
        write_score(result, args.out / f"score_{unit[0]}er", ref=str(args.ref), hyp=str(hyp))
        print(table(result), end="")


if __name__ == "__main__":
    run(main)
