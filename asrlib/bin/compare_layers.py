"""Compares the outputs of every layer of one model in MindSpore and in PyTorch: mean |ms - pt| / mean |ms|, in float32.

  compare_layers --exp_dir exp/TAG --wav_scp data/test/wav.scp --num_utts 2   both frameworks compute, each in its own process, on one padded batch
  compare_layers --exp_dir exp/TAG --feats_scp dump/test/feats.scp            the same, from features
  compare_layers --ms_dir DIR --pt_dir DIR --out DIR                          existing outputs (*out0.npy, *out1.npy, ...)

Prints `index value` rows; writes table.txt, result.json and layers.png into --out (EXP_DIR/compare).
Exit code 1 if a layer of the experiment differs by more than --tolerance.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", type=Path, help="experiment with its model converted (stage 4)")
    parser.add_argument("--wav_scp", type=Path, help="wav.scp of the utterances to compare on")
    parser.add_argument("--feats_scp", type=Path, help="feats.scp of the utterances, instead of --wav_scp")
    parser.add_argument("--num_utts", type=int, default=2, help="number of utterances to compare on, the first of the file")
    parser.add_argument("--tolerance", type=float, default=5e-6, help="largest relative difference allowed in a layer of the experiment")
    parser.add_argument("--ms_dir", type=Path, help="outputs from MindSpore")
    parser.add_argument("--pt_dir", type=Path, help="outputs from PyTorch")
    parser.add_argument("--out", type=Path, help="folder of the results; default: EXP_DIR/compare")
    args = parser.parse_args(argv)

    from asrlib.convert.compare import differences, read_outputs, write_table
    from asrlib.report.layers import plot_layers
    from asrlib.utils.errors import UserError
    from asrlib.utils.log import get_logger

    out = args.out or (args.exp_dir / "compare" if args.exp_dir else None)
    scp = args.feats_scp or args.wav_scp
    if out is None or bool(args.exp_dir and scp) == bool(args.ms_dir and args.pt_dir):
        parser.error("give --exp_dir and --wav_scp or --feats_scp, or --ms_dir, --pt_dir and --out")
    with tempfile.TemporaryDirectory() as scratch:
        ms_dir, pt_dir = (args.ms_dir, args.pt_dir) if args.ms_dir else _compute(args.exp_dir, scp, args.num_utts, Path(scratch))
        ms_outputs, pt_outputs = read_outputs(ms_dir), read_outputs(pt_dir)
    rows = differences(ms_outputs, pt_outputs, str(out))
    print(write_table(rows, out, tolerance=args.tolerance), end="")
    plot_layers(ms_outputs, pt_outputs, out / "layers.png")
    worst = max(rows, key=lambda row: row.relative)
    get_logger(__name__).info("largest difference: %.3g (layer %d); table and plot: %s", worst.relative, worst.index, out)
    if args.exp_dir and not worst.relative <= args.tolerance:
        raise UserError(f"layer {worst.index} differs by {worst.relative:.3g}, more than {args.tolerance:g}: the conversion is not exact")


def _compute(exp_dir: Path, scp: Path, count: int, scratch: Path) -> tuple[Path, Path]:
    """Runs each framework in a process of its own; returns the folders of their outputs."""
    from asrlib.config.ctc import TrainConfig
    from asrlib.config.families import load_experiment_config
    from asrlib.features.batch import write_batch, write_wavs

    inputs = scratch / "inputs.npz"
    config = load_experiment_config(exp_dir / "config.yaml")
    if isinstance(config, TrainConfig):
        write_batch(scp, count, config.features, inputs)
    else:
        write_wavs(scp, count, config.model_conf, inputs)
    folders = {}
    for framework in ("ms", "pt"):
        folders[framework] = scratch / framework
        options = ["--exp_dir", exp_dir, "--framework", framework, "--inputs", inputs, "--out", folders[framework]]
        done = subprocess.run([sys.executable, "-m", "asrlib.bin.layer_outputs", *map(str, options)], check=False)
        if done.returncode:
            sys.exit(done.returncode)
    return folders["ms"], folders["pt"]


if __name__ == "__main__":
    run(main)
