"""Converts the weights of an experiment from MindSpore to its PyTorch twin or back, and checks that every array is used.

--to pt: EXP_DIR/model.safetensors -> EXP_DIR/pt/model.safetensors.  --to ms: EXP_DIR/pt/model.safetensors -> EXP_DIR/ms/model.safetensors.
The configuration and the tokens are copied along. A pretrained model (HuBERT, wav2vec 2.0, ProgRE) is also packaged for s3prl, fairseq and
transformers; --to ms reads the files of these toolkits, too:
  convert --to ms --checkpoint hubert.pt --out exp/hubert
The kind of a file is found by its contents. The configuration of a pretrained model is made from its file; --pretrain_config is checked against it.
--updates true: every kept checkpoint of a pretraining, also the best and the last one -> EXP_DIR/updates/NUMBER/pt.

--to ms also makes an experiment of a Jasper of NeMo (.nemo), NVIDIA (.pt) or Lightning (.ckpt) and of the MindSpore model zoo's checkpoints:
  convert --to ms --train_config conf/jasper.yaml --checkpoint jasper.pt --labels conf/labels_nvidia_en.txt --out exp/nvidia
The rows of the output layer are put into the order of --tokens (EXP_DIR/tokens.txt with --exp_dir). A checkpoint that has no label list, in it or as
tokens.txt beside it, needs --labels.

Nothing is written if an array is missing, unexpected, not finite or of the wrong shape or type.
"""

import shutil
import time
from pathlib import Path

from asrlib.utils.cli import Parser, assignments, boolean, paths, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", type=Path, help="experiment: config.yaml, weights and, for a CTC model, tokens.txt")
    parser.add_argument("--pretrain_config", type=Path, help="instead of an experiment: configuration of the pretrained model in --checkpoint")
    parser.add_argument("--pretrain_args", default="", type=assignments, help='overrides of --pretrain_config, "key=value key=value"')
    parser.add_argument("--default_config", type=Path, help="configuration for what --checkpoint does not say, used if its sizes agree")
    parser.add_argument("--train_config", type=Path, help="instead of an experiment: training YAML of the CTC model in --checkpoint")
    parser.add_argument("--train_args", default="", type=assignments, help='overrides of --train_config, "key=value key=value"')
    parser.add_argument("--to", choices=("pt", "ms"), default="pt", help="framework to convert to")
    checkpoint_help = (
        "weights to convert: .safetensors, or with --to ms also .ckpt, .nemo, a torch.save file (or two, of encoder and decoder) or a folder of "
        "transformers; default: see above"
    )
    parser.add_argument("--checkpoint", type=paths, default=[], help=checkpoint_help)
    parser.add_argument("--tokens", type=Path, help="token list of the result with --train_config; default: the labels of the checkpoint")
    labels_help = "labels of the checkpoint: a file with one per line, a JSON list, or a toolkit's YAML; default: the list in it or beside it"
    parser.add_argument("--labels", type=Path, help=labels_help)
    parser.add_argument("--out", type=Path, help="folder of the result; default: EXP_DIR/pt, or EXP_DIR/ms")
    parser.add_argument("--updates", type=boolean, default=False, help="convert every kept checkpoint of a pretraining instead of the model")
    args = parser.parse_args(argv)
    if args.updates and args.exp_dir is None:
        parser.error("--updates true needs --exp_dir")
    if args.exp_dir is None and (not args.checkpoint or args.out is None):
        parser.error("give --exp_dir, or --checkpoint and --out")
    if args.exp_dir is None and args.pretrain_config is None and args.to == "pt":
        parser.error("--to pt needs --exp_dir or --pretrain_config")
    if len(args.checkpoint) > 1 and not (args.exp_dir or args.train_config):
        parser.error("--checkpoint: one file, except for encoder and decoder of a CTC model (--train_config)")

    from asrlib.config.base import save_config
    from asrlib.config.ctc import TrainConfig
    from asrlib.config.families import load_experiment_config, load_pretrain_config, load_train_config
    from asrlib.utils.log import get_logger

    config = None  # of a pretrained model: from its file
    if args.train_config:
        config = load_train_config(args.train_config, args.train_args)
    elif args.pretrain_config or args.exp_dir:
        given = args.pretrain_config
        config = load_pretrain_config(given, args.pretrain_args) if given else load_experiment_config(args.exp_dir / "config.yaml")
    files = args.checkpoint or [args.exp_dir / ("model.safetensors" if args.to == "pt" else "pt/model.safetensors")]
    sources = _kept(args.exp_dir) if args.updates else {args.out or args.exp_dir / args.to: files}
    if args.updates:
        for stale in (args.exp_dir / "updates").glob("[0-9]*"):  # of an earlier pretraining in this folder
            if stale / "pt" not in sources:
                shutil.rmtree(stale)
    convert = _convert_model if isinstance(config, TrainConfig) else _convert_upstream
    for out, files in sources.items():
        begin = time.perf_counter()
        made, tensors, parameters, aside = convert(args, config, files, out)
        save_config(made, out / "config.yaml")
        rest, seconds = f"{aside} arrays left aside" if aside else "nothing left over", time.perf_counter() - begin
        get_logger(__name__).info("%s: %d tensors, %d parameters, %s, %.1f s", out / "model.safetensors", tensors, parameters, rest, seconds)


def _kept(exp_dir: Path) -> dict[Path, list[Path]]:
    """Folder of the result -> the file of a kept checkpoint, in the order of the updates. UserError: there is no checkpoint."""
    from asrlib.utils.arrays import read_metadata
    from asrlib.utils.errors import UserError

    files = [*sorted((exp_dir / "checkpoints").glob("*.safetensors")), *exp_dir.glob("model.safetensors")]
    found = {int(number): file for file in files if (number := read_metadata(file).get("updates", "")).isdigit()}
    if not found:
        raise UserError(f"{exp_dir}: no checkpoint of a pretraining in it: run stage 3")
    return {exp_dir / "updates" / str(number) / "pt": [found[number]] for number in sorted(found)}


def _convert_model(args, config, files: list[Path], out: Path):
    """Configuration, tensors, parameters, arrays left aside."""
    from asrlib.convert.jasper_settings import check_settings

    arrays, settings = _read_parts(files)
    if config.model == "jasper" and args.to == "ms":
        check_settings(config, settings, str(files[0]))
    arrays, tokenizer = _in_token_order(args, config, arrays, settings, files[0])
    if args.to == "pt":
        from asrlib.pt.convert import from_mindspore as convert
    else:
        from asrlib.ms.checkpoint.convert import from_other as convert
    counts = convert(config, len(tokenizer.tokens), arrays, files[0], out / "model.safetensors")
    tokenizer.save(out / "tokens.txt")
    return config, *counts, 0


def _in_token_order(args, config, arrays, settings, source: Path):
    """The arrays, with the rows of the output layer in the order of the result's tokens, and its tokenizer."""
    from asrlib.convert.checkpoint_file import kind_of
    from asrlib.convert.jasper import COMMON
    from asrlib.convert.rules import output_layer, rows, with_rows
    from asrlib.text.labels import labels_for, row_order, tokenizer_of, tokens_of_rows
    from asrlib.text.tokenizers import load_tokenizer

    path = args.tokens or (args.exp_dir / "tokens.txt" if args.exp_dir else None)
    tokenizer = load_tokenizer(path) if path else None
    names = output_layer(arrays, config.model_conf.output, COMMON if config.model == "jasper" else str)
    own = kind_of(source) == "safetensors" and all(name.rpartition(".")[0] == config.model_conf.output for name in names)
    labels, where = labels_for(source, args.labels, settings, own)
    if tokenizer and labels == tokenizer.tokens:
        return arrays, tokenizer
    tokens = tokens_of_rows(labels, rows(arrays, names, str(source)), where)
    tokenizer = tokenizer or tokenizer_of(tokens)
    return with_rows(arrays, names, row_order(tokens, tokenizer.tokens, f"{source} ({where})")), tokenizer


def _read_parts(files: list[Path]):
    """Arrays and toolkit's configuration in the files of one CTC model."""
    from asrlib.convert.checkpoint_file import kind_of
    from asrlib.convert.nemo import read_model
    from asrlib.utils.arrays import widened
    from asrlib.utils.errors import UserError

    arrays, settings = {}, {}
    for file in files:
        found, facts = (_read(file).arrays, {}) if kind_of(file) == "mindspore" else read_model(file)
        if twice := arrays.keys() & found.keys():
            raise UserError(f"{file}: {min(twice)} is also in another file of --checkpoint: give the files of one model")
        arrays |= widened(found, file)
        settings = {**facts, **settings}
    return arrays, settings


def _convert_upstream(args, config, files: list[Path], out: Path):
    """Configuration, tensors, parameters, arrays left aside."""
    source = files[0]
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
