"""Converts the weights of an experiment from MindSpore to its PyTorch twin or back, and checks that every array is used.

--to pt: EXP_DIR/model.safetensors -> EXP_DIR/pt/model.safetensors.  --to ms: EXP_DIR/pt/model.safetensors -> EXP_DIR/ms/model.safetensors.
The configuration and the tokens are copied along. A pretrained model (HuBERT, wav2vec 2.0, ProgRE) is also packaged for s3prl, fairseq and
transformers; --to ms reads the files of these toolkits, too:
  convert --to ms --checkpoint hubert.pt --out exp/hubert
The kind of a file is found by its contents. The configuration of a pretrained model is made from its file; --pretrain_config is checked against it.
--updates true: every kept checkpoint of a pretraining, also the best and the last one -> EXP_DIR/updates/NUMBER/pt.

Nothing is written if an array is missing, unexpected, not finite or of the wrong shape or type.
"""

import shutil
import time
from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", type=Path, help="experiment: config.yaml, weights and, for a CTC model, tokens.txt")
    parser.add_argument("--pretrain_config", type=Path, help="instead of an experiment: configuration of the pretrained model in --checkpoint")
    parser.add_argument("--default_config", type=Path, help="configuration for what --checkpoint does not say, used if its sizes agree")
    parser.add_argument("--to", choices=("pt", "ms"), default="pt", help="framework to convert to")
    checkpoint_help = (
        "weights to convert: .safetensors, or with --to ms also .ckpt, a torch.save file or a folder of transformers; default: see above"
    )
    parser.add_argument("--checkpoint", type=Path, help=checkpoint_help)
    parser.add_argument("--out", type=Path, help="folder of the result; default: EXP_DIR/pt, or EXP_DIR/ms")
    parser.add_argument("--updates", type=boolean, default=False, help="convert every kept checkpoint of a pretraining instead of the model")
    args = parser.parse_args(argv)
    if args.updates and args.exp_dir is None:
        parser.error("--updates true needs --exp_dir")
    if args.exp_dir is None and (args.checkpoint is None or args.out is None):
        parser.error("give --exp_dir, or --checkpoint and --out")
    if args.exp_dir is None and args.pretrain_config is None and args.to == "pt":
        parser.error("--to pt needs --exp_dir or --pretrain_config")

    from asrlib.config.base import save_config
    from asrlib.config.ctc import TrainConfig
    from asrlib.config.families import load_experiment_config, load_pretrain_config
    from asrlib.utils.log import get_logger

    config = None  # of a pretrained model: from its file
    if args.pretrain_config or args.exp_dir:
        config = load_pretrain_config(args.pretrain_config) if args.pretrain_config else load_experiment_config(args.exp_dir / "config.yaml")
    source = args.checkpoint or args.exp_dir / ("model.safetensors" if args.to == "pt" else "pt/model.safetensors")
    sources = _kept(args.exp_dir) if args.updates else {args.out or args.exp_dir / args.to: source}
    if args.updates:
        for stale in (args.exp_dir / "updates").glob("[0-9]*"):  # of an earlier pretraining in this folder
            if stale / "pt" not in sources:
                shutil.rmtree(stale)
    convert = _convert_model if isinstance(config, TrainConfig) else _convert_upstream
    for out, source in sources.items():
        begin = time.perf_counter()
        made, tensors, parameters, aside = convert(args, config, source, out)
        save_config(made, out / "config.yaml")
        rest, seconds = f"{aside} arrays left aside" if aside else "nothing left over", time.perf_counter() - begin
        get_logger(__name__).info("%s: %d tensors, %d parameters, %s, %.1f s", out / "model.safetensors", tensors, parameters, rest, seconds)


def _kept(exp_dir: Path) -> dict[Path, Path]:
    """Folder of the result -> kept checkpoint, in the order of the updates. UserError: there is no checkpoint."""
    from asrlib.utils.arrays import read_metadata
    from asrlib.utils.errors import UserError

    files = [*sorted((exp_dir / "checkpoints").glob("*.safetensors")), *exp_dir.glob("model.safetensors")]
    found = {int(number): file for file in files if (number := read_metadata(file).get("updates", "")).isdigit()}
    if not found:
        raise UserError(f"{exp_dir}: no checkpoint of a pretraining in it: run stage 3")
    return {exp_dir / "updates" / str(number) / "pt": found[number] for number in sorted(found)}


def _convert_model(args, config, source: Path, out: Path):
    """Configuration, tensors, parameters, arrays left aside."""
    from asrlib.text.tokenizers import load_tokenizer

    if args.to == "pt":
        from asrlib.pt.convert import from_mindspore as convert
    else:
        from asrlib.ms.checkpoint.convert import from_pytorch as convert
    counts = convert(args.exp_dir, _read(source).arrays, source, out / "model.safetensors")
    load_tokenizer(args.exp_dir / "tokens.txt").save(out / "tokens.txt")
    return config, *counts, 0


def _convert_upstream(args, config, source: Path, out: Path):
    """Configuration, tensors, parameters, arrays left aside."""
    if args.to == "pt":
        from asrlib.pt.convert_upstream import from_mindspore

        return config, *from_mindspore(config, _read(source).arrays, source, out), 0
    from asrlib.config.families import load_pretrain_config
    from asrlib.convert.pretrained import beside
    from asrlib.ms.checkpoint.convert_upstream import from_other

    found, default = _read(source), load_pretrain_config(args.default_config) if args.default_config else None
    found.rest.update(beside(source))
    return from_other(found, config, default, source, out)


def _read(source: Path):
    """Weights in float32, and what else is in the file."""
    from asrlib.convert.checkpoint_file import Checkpoint, kind_of, read_checkpoint
    from asrlib.utils.arrays import widened

    if kind_of(source) == "mindspore":
        from asrlib.ms.checkpoint.weights import load_arrays

        return Checkpoint(widened(load_arrays(source), source), {})
    found = read_checkpoint(source)
    return Checkpoint(widened(found.arrays, source), found.rest)


if __name__ == "__main__":
    run(main)
