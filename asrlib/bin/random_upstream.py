"""Writes the network of a pretraining experiment with its random initial weights: the baseline for the pretrained model."""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of the pretrained model (config.yaml)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the result: config.yaml, model.safetensors")
    args = parser.parse_args(argv)

    from asrlib.config.base import save_config
    from asrlib.config.families import load_pretrain_config
    from asrlib.ms.checkpoint.weights import network_arrays
    from asrlib.ms.models import make_network
    from asrlib.utils.arrays import save_arrays
    from asrlib.utils.log import get_logger

    config = load_pretrain_config(args.exp_dir / "config.yaml")
    save_arrays(args.out / "model.safetensors", network_arrays(make_network(config)), {"updates": "0"})
    save_config(config, args.out / "config.yaml")
    get_logger(__name__).info("random weights -> %s", args.out / "model.safetensors")


if __name__ == "__main__":
    run(main)
