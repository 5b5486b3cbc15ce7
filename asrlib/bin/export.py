"""Exports the model of an experiment as MindIR or ONNX with a dynamic time axis, loads the file again and compares it with the network.

--format mindir: EXP_DIR/mindir/model.mindir, of the MindSpore weights.  --format onnx: EXP_DIR/onnx/model.onnx, of the PyTorch twin in EXP_DIR/pt.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment with a trained model")
    parser.add_argument("--format", choices=("mindir", "onnx"), default="mindir", help="kind of the file")
    parser.add_argument("--out", type=Path, help="folder of the file; default: EXP_DIR/mindir or EXP_DIR/onnx")
    args = parser.parse_args(argv)

    if args.format == "onnx":
        from asrlib.pt.export import export
    else:
        from asrlib.ms.inference.export import export

    export(args.exp_dir, args.out or args.exp_dir / args.format)


if __name__ == "__main__":
    run(main)
