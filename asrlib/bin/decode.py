"""Decodes with a trained model: `text` and the real-time factor, rtf.json, in --out.

A model trained from scratch takes a dump directory with features; one fine-tuned with ESPnet a Kaldi directory.
Modes: greedy and beam of CTC (the latter with an n-gram model if --lm is given), joint: ESPnet's CTC/attention beam search.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of train or of finetune")
    parser.add_argument("--data_dir", required=True, type=Path, help="dump directory with features, or Kaldi directory")
    parser.add_argument("--out", required=True, type=Path, help="folder of the hypotheses")
    parser.add_argument("--mode", choices=("greedy", "beam", "joint"), default="greedy", help="CTC best path, CTC prefix beam search, or joint CTC/attention beam search")
    parser.add_argument("--inference_config", help="YAML with the settings of the beam search; none: the defaults")
    parser.add_argument("--inference_args", default="", help='overrides of it, "key=value key=value"')
    parser.add_argument("--lm", type=Path, help="n-gram language model in ARPA format, for the beam search")
    parser.add_argument("--model", type=Path, help="other weights than the experiment's model.safetensors")
    parser.add_argument("--device", choices=("CPU", "GPU", "Ascend"), default="CPU", help="MindSpore's device target")
    parser.add_argument("--nj", type=int, default=0, help="processes of the search; 0: as many as cores")
    parser.add_argument("--cmd_backend", choices=("local", "slurm"), default="local", help="where they run, of a fine-tuned model")
    args = parser.parse_args(argv)

    from asrlib.utils.config import load_config
    from asrlib.utils.errors import UserError

    espnet = (args.exp_dir / "inference").is_dir()
    if args.mode == "joint" and not espnet:
        raise UserError(f"{args.exp_dir}: --mode joint is for models fine-tuned with ESPnet: choose greedy or beam")
    if args.mode == "joint":
        from asrlib.pt.decode import JointConfig as schema
    else:
        from asrlib.decode.beam import BeamConfig as schema
    overrides = args.inference_args.split() + ([f"lm={args.lm}"] if args.lm and args.mode == "beam" else [])
    config = load_config(args.inference_config, schema, overrides)
    if espnet:
        from asrlib.pt.decode import decode_dir
        from asrlib.utils.parallel import cores

        device = "cuda" if args.device == "GPU" else "cpu"
        decode_dir(args.exp_dir, args.data_dir, args.out, args.mode, config, args.nj or cores(), device, args.cmd_backend)
        return

    from asrlib.ms.decode import decode_dump
    from asrlib.ms.inference import AcousticModel

    model = AcousticModel.load(args.exp_dir, args.model, args.device)
    decode_dump(model, args.data_dir, args.out, args.mode, config, args.nj)


if __name__ == "__main__":
    run(main)
