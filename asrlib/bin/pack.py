"""Packs the model of an experiment into one file that asrlib.load reads anywhere: pack EXP -o model.zip

The file holds the weights (safetensors, or a MindIR or ONNX graph), configuration, tokens, the settings of the searches with the n-gram language
model, results, provenance and a note on licences. It holds no path of this machine, and nothing in it is pickled.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run
from asrlib.utils.decoding import MODES


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("exp_dir", type=Path, help="experiment of train, pretrain or finetune")
    parser.add_argument("-o", "--out", required=True, type=Path, help="file to write, with the suffix .zip")
    frameworks = ("mindspore", "pytorch", "mindir", "onnx", "espnet")
    parser.add_argument("--framework", choices=frameworks, help="whose weights or graph to pack; default: the first of these that is there")
    parser.add_argument("--mode", choices=MODES, default="greedy", help="what the loaded model does if it is not told")
    parser.add_argument("--lm", type=Path, help="n-gram model for the beam; default: that of EXP_DIR/beam.yaml, if there is one")
    parser.add_argument("--inference_config", type=Path, help="YAML with the settings of the joint search")
    parser.add_argument("--licence", type=Path, help="text of the model's licence; default: a note on where to look")
    args = parser.parse_args(argv)
    if args.out.suffix != ".zip":
        parser.error("--out must end in .zip")

    from asrlib.api.pack import pack
    from asrlib.config.base import read_yaml

    joint = read_yaml(args.inference_config) if args.inference_config else {}
    licence = args.licence.read_text(encoding="utf-8") if args.licence else ""
    facts = pack(args.exp_dir, args.out, args.framework, args.mode, args.lm, joint, licence)
    print(f"{args.out}: {facts['kind']}, {facts['framework']}, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
