"""Packages a pretrained model with products in float16, as the published MindSpore code has them: the cost of the migration's error."""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of the pretrained model: config.yaml, model.safetensors")
    parser.add_argument("--out", required=True, type=Path, help="folder of the result, a package for progre_local, hubert_local or wav2vec2_local")
    args = parser.parse_args(argv)

    from asrlib.config.families import load_pretrain_config
    from asrlib.convert.checkpoint_file import read_checkpoint
    from asrlib.pt.packages import write_own_package
    from asrlib.utils.log import get_logger

    config = load_pretrain_config(args.exp_dir / "config.yaml")
    path = write_own_package(config, read_checkpoint(args.exp_dir / "model.safetensors").arrays, args.out, "float16")
    get_logger(__name__).info("products in float16 -> %s", path)


if __name__ == "__main__":
    run(main)
