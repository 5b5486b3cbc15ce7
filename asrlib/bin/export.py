"""Exports the model of an experiment as MindIR with a dynamic time axis, loads the file again and compares it with the network."""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment with a trained model")
    parser.add_argument("--out", type=Path, help="folder of model.mindir; default: EXP_DIR/mindir")
    args = parser.parse_args(argv)

    from asrlib.ms.inference.export import export

    export(args.exp_dir, args.out or args.exp_dir / "mindir")


if __name__ == "__main__":
    run(main)
