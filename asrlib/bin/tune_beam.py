"""Tunes the language model weights of the beam search on a validation set, for a model trained from scratch.

Writes the beam settings with the best weights to --out (for decode --inference_config) and all trials to a .tsv file beside it.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, assignments, run
from asrlib.utils.devices import add_ms_device


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of train")
    parser.add_argument("--data_dir", required=True, type=Path, help="dump directory of the validation set")
    parser.add_argument("--lm", required=True, type=Path, help="n-gram language model in ARPA format")
    parser.add_argument("--out", required=True, type=Path, help="YAML file to write")
    parser.add_argument("--unit", choices=("word", "char"), default="word", help="unit of the error rate to minimise")
    parser.add_argument("--alphas", default="0.3 0.7 1.2 2.0", help="weights of the language model to try")
    parser.add_argument("--betas", default="0 1.5 3", help="word bonuses to try")
    parser.add_argument("--inference_args", default="", type=assignments, help='other settings of the beam search, "key=value key=value"')
    add_ms_device(parser)
    parser.add_argument("--nj", type=int, default=0, help="processes; 0: as many as cores")
    args = parser.parse_args(argv)

    from asrlib.config.base import load_config, save_config
    from asrlib.corpora.kaldi_dir import KaldiDir
    from asrlib.corpora.kaldi_table import read_table
    from asrlib.decode.beam import BeamConfig
    from asrlib.decode.tune import tune
    from asrlib.features.ark import read_matrix
    from asrlib.ms.inference.acoustic import AcousticModel
    from asrlib.score.error_rate import count_errors
    from asrlib.utils.errors import UserError
    from asrlib.utils.files import atomic_write
    from asrlib.utils.log import get_logger
    from asrlib.utils.parallel import cores

    config = load_config(None, BeamConfig, [*args.inference_args, f"lm={args.lm}"])
    texts, locations = KaldiDir.read(args.data_dir).text, read_table(args.data_dir / "feats.scp").rows
    if not texts:
        raise UserError(f"{args.data_dir / 'text'} is missing: tuning needs the transcripts of the validation set")
    model = AcousticModel.load(args.exp_dir, device=args.device)
    log_probs = model.log_probs([read_matrix(location, f"utterance {utt}", model.config.features.dim) for utt, location in locations.items()])
    refs, grid = [texts[utt] for utt in locations], [(float(a), float(b)) for a in args.alphas.split() for b in args.betas.split()]

    def error_rate(hyps: list[str]) -> float:
        return count_errors(refs, hyps, args.unit).error_rate

    tokenizer = model.tokenizer
    best, trials = tune(log_probs, tokenizer.tokens, tokenizer.blank, tokenizer.separator, config, grid, error_rate, args.nj or cores())
    with atomic_write(args.out.with_suffix(".tsv")) as stream:
        stream.write("alpha\tbeta\terror_rate\n" + "".join(f"{t.alpha:g}\t{t.beta:g}\t{t.error_rate:.3f}\n" for t in trials))
    save_config(best, args.out)
    get_logger(__name__).info("alpha %g, beta %g -> %s; all trials: %s", best.alpha, best.beta, args.out, args.out.with_suffix(".tsv"))


if __name__ == "__main__":
    run(main)
