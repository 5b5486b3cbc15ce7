"""Writes the output of every layer of an experiment's model for a batch of inputs, in one framework: out0.npy, out1.npy, ...

compare_layers calls it once for each framework, so that the two frameworks do not share a process.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment with its model converted")
    parser.add_argument("--framework", required=True, choices=("ms", "pt"), help="MindSpore or PyTorch")
    parser.add_argument("--inputs", required=True, type=Path, help=".npz with feats (B, T, F) or wavs (B, S) and pitch (B, T), and lengths (B,)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the outputs")
    args = parser.parse_args(argv)

    import numpy as np

    with np.load(args.inputs, allow_pickle=False) as file:
        inputs = dict(file)
    if args.framework == "ms":
        from asrlib.ms.inference.outputs import layer_outputs
    else:
        from asrlib.pt.outputs import layer_outputs

    outputs = layer_outputs(args.exp_dir, inputs)
    args.out.mkdir(parents=True, exist_ok=True)
    for i, output in enumerate(outputs):
        np.save(args.out / f"out{i}.npy", output)


if __name__ == "__main__":
    run(main)
