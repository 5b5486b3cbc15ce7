"""Decodes data sets with a trained model; writes the hypotheses (text) and the real-time factor (rtf.json) to OUT/decode_MODE/SET.

A model trained from scratch reads dump directories with features; a model fine-tuned with ESPnet reads Kaldi directories. Utterances that cannot be
read are passed over, named, and listed in OUT/decode_MODE/SET/bad_utts.txt; the exit code is then 1.
Modes: greedy (CTC best path), beam (CTC prefix beam search, with an n-gram model if --lm is given), joint (ESPnet's CTC/attention beam search).
"""

from pathlib import Path

from asrlib.utils.backend import add_backend, backend
from asrlib.utils.cli import Parser, assignments, paths, run
from asrlib.utils.devices import add_asr_device, add_ms_device

MODES = ("greedy", "beam", "joint")


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of train or of finetune")
    parser.add_argument("--data_dirs", required=True, type=paths, help='data sets, "DIR ...": dump directories with features, or Kaldi directories')
    parser.add_argument("--out", required=True, type=Path, help="folder of the hypotheses")
    parser.add_argument("--modes", default="greedy", help=f'one or more of "{" ".join(MODES)}"')
    parser.add_argument("--inference_config", help="YAML with the settings of the joint search or, without mode joint, of the prefix beam search")
    parser.add_argument("--inference_args", default="", type=assignments, help='settings that override --inference_config, "key=value key=value"')
    parser.add_argument("--lm", type=Path, help="n-gram language model in ARPA format, for the beam search")
    parser.add_argument("--model", type=Path, help="weights to use instead of the experiment's model.safetensors")
    add_ms_device(parser, "where a model trained from scratch computes (MindSpore)")
    add_asr_device(parser, "where a fine-tuned model computes, one process on each card")
    parser.add_argument("--nj", type=int, default=0, help="number of processes; 0: as many as cores, for the network of a fine-tuned model as cards")
    add_backend(parser, "processes run (fine-tuned models only)")
    args = parser.parse_args(argv)

    from asrlib.config.base import load_config
    from asrlib.decode.beam import BeamConfig
    from asrlib.utils.errors import UserError
    from asrlib.utils.files import named_folder

    modes, data_dirs = args.modes.split(), [named_folder(path) for path in args.data_dirs]
    espnet = (args.exp_dir / "inference").is_dir()
    if wrong := [mode for mode in modes if mode not in MODES]:
        parser.error(f"--modes: '{wrong[0]}' is not one of {' '.join(MODES)}")
    if not modes or not data_dirs:
        parser.error("--modes and --data_dirs need at least one value each")
    names = [path.name for path in data_dirs]
    if duplicates := [path for i, path in enumerate(data_dirs) if path.name in names[:i]]:
        raise UserError(f"--data_dirs: duplicate directory name {duplicates[0].name!r} ({duplicates[0]}): rename it, or decode it with another --out")
    if "joint" in modes and not espnet:
        raise UserError(f"{args.exp_dir}: mode joint needs a model fine-tuned with ESPnet: choose greedy or beam")
    joint = "joint" in modes
    lm = [f"lm={args.lm}"] if args.lm and "beam" in modes else []
    beam = load_config(None if joint else args.inference_config, BeamConfig, [*([] if joint else args.inference_args), *lm])
    if espnet:
        from asrlib.corpora.faults import exit_code
        from asrlib.corpora.kaldi_table import read_table
        from asrlib.pt.decode import decode_dirs
        from asrlib.pt.recogniser import JointConfig
        from asrlib.utils.parallel import cores

        search = load_config(args.inference_config if joint else None, JointConfig, args.inference_args if joint else [])
        where = backend(args, "array" if args.asr_device == "cpu" else "gpu")
        lists = decode_dirs(args.exp_dir, data_dirs, args.out, modes, beam, search, args.nj or cores(), args.asr_device, where)
        return max([0, *(exit_code(len(read_table(path).rows), folder, path) for folder, path in lists.items())])

    from asrlib.ms.inference.acoustic import AcousticModel
    from asrlib.ms.inference.decode import decode_dumps

    model = AcousticModel.load(args.exp_dir, args.model, args.device)
    decode_dumps(model, data_dirs, args.out, modes, beam, args.nj)
    return 0


if __name__ == "__main__":
    run(main)
