"""From a configuration and two dump directories to a trained model in exp_dir."""

import difflib
import json
import shutil
from pathlib import Path

import mindspore as ms
from mindspore import nn

from asrlib.config.base import dump_config, save_config
from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.checkpoint.weights import assign_arrays, load_arrays, load_pretrained
from asrlib.ms.data.batches import BatchLoader, make_buckets
from asrlib.ms.data.dataset import Dataset
from asrlib.ms.device import use_device
from asrlib.ms.layers.convolution import Conv, Conv2d
from asrlib.ms.models import make_model
from asrlib.ms.objectives.validation import Validator
from asrlib.ms.training.memory_plan import plan_parts
from asrlib.ms.training.optim import Ema, make_optimizer
from asrlib.ms.training.parallel import Ranks, join
from asrlib.ms.training.step import CtcLoss, TrainStep
from asrlib.ms.training.trainer import Trainer
from asrlib.text.tokenizers import Tokenizer, load_tokenizer
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def train(
    config: TrainConfig, train_dir: Path, valid_dir: Path, tokens: Path, exp_dir: Path, pretrained: Path | None, device: str, start_over: bool = False, memory_gb: float | None = None
) -> None:
    """Trains, or goes on training, in exp_dir; ends with exp_dir/model.safetensors. With trainer.epochs=0 that is the network as it starts.

    Under msrun each process takes its part of every update's batches, of which there are as many times more; the first process writes.
    UserError when exp_dir holds a run with another configuration or other data, or for faults of the data.
    """
    if config.trainer.precision == "bf16" and device == "CPU":
        raise UserError("trainer.precision=bf16: MindSpore has no such convolutions on CPU: choose fp32 or fp16")
    use_device(device)
    ranks = join(device)
    exp_dir.mkdir(parents=True, exist_ok=True)
    if ranks.rank == 0:
        if start_over:
            clear(exp_dir)
        claim(exp_dir, config)
    ranks.sum(0.0)  # the others wait here
    tokenizer = load_tokenizer(tokens)
    network = make_model(config, len(tokenizer.tokens))
    log.info("%s: %d parameters", config.model, sum(p.size for p in network.trainable_params()))
    if pretrained:
        load_pretrained(network, pretrained)
    set_precision(network, config)
    trainer = _trainer(config, network, tokenizer, train_dir, valid_dir, exp_dir, ranks, memory_gb)
    if ranks.rank == 0:
        tokenizer.save(exp_dir / "tokens.txt")
    trainer.run()
    if ranks.rank == 0:
        finish(trainer, config)


def clear(exp_dir: Path) -> None:
    """Removes what an earlier run left to go on from."""
    for name in ("state.safetensors", "model.safetensors", "history.jsonl"):
        (exp_dir / name).unlink(missing_ok=True)
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(exp_dir / name, ignore_errors=True)


def claim(exp_dir: Path, config: TrainConfig) -> None:
    """Writes the resolved configuration; refuses to go on with a run of another one. Removes half-written files of a run that was killed."""
    for left in (*exp_dir.glob(".*.tmp"), *exp_dir.glob("checkpoints/.*.tmp")):
        left.unlink(missing_ok=True)
    path = exp_dir / "config.yaml"
    if path.exists() and (exp_dir / "state.safetensors").exists():
        changed = [line for line in difflib.ndiff(path.read_text().splitlines(), dump_config(config).splitlines()) if line[0] in "-+"]
        if changed:
            raise UserError(
                f"{exp_dir} holds a run with another configuration ({'; '.join(' '.join(line.split()) for line in changed[:6])}): "
                "choose another --tag or --exp_dir, or start over with --force true"
            )
    save_config(config, path)


def set_precision(network: nn.Cell, config: TrainConfig) -> None:
    """Convolutions and projections in half precision where the configuration asks for it; all else stays in float32."""
    half = {"fp16": ms.float16, "bf16": ms.bfloat16}.get(config.trainer.precision)
    if half is not None:
        for _, cell in network.cells_and_names():
            if isinstance(cell, nn.Dense):
                cell.to_float(half)
            elif isinstance(cell, (Conv, Conv2d)):
                cell.dtype = half
    if config.trainer.recompute:
        for layer in network.blocks if config.model == "jasper" else network.rnns:
            layer.recompute()


def _trainer(config: TrainConfig, network: nn.Cell, tokenizer: Tokenizer, train_dir: Path, valid_dir: Path, exp_dir: Path, ranks: Ranks, memory_gb: float | None) -> Trainer:
    batch = config.batch
    train_set, valid_set = Dataset(train_dir, tokenizer, config, train=True), Dataset(valid_dir, tokenizer, config, train=False)
    own_dir = exp_dir if ranks.rank == 0 else exp_dir / "ranks" / str(ranks.rank)
    train_set.set_aside(own_dir / "set_aside.train.tsv")
    valid_set.set_aside(own_dir / "set_aside.valid.tsv")
    buckets = make_buckets(train_set, batch.buckets, batch.batch_size, batch.batch_seconds)
    log.info("buckets (frames x utterances): %s", ", ".join(f"{b.frames} x {b.batch_size}" for b in buckets))
    loader = BatchLoader(train_set, buckets, config.trainer.seed, shuffle=True, prefetch=batch.prefetch, short_first=batch.sorta_grad)
    valid_buckets = make_buckets(valid_set, min(3, batch.buckets), batch.batch_size, batch.batch_seconds)
    valid_loader = BatchLoader(valid_set, valid_buckets, config.trainer.seed, shuffle=False, prefetch=batch.prefetch)
    optimizer = make_optimizer(network, config.optim)
    if config.trainer.ema:
        optimizer = Ema(optimizer, config.trainer.ema)
    loss_scale = config.trainer.loss_scale if config.trainer.precision == "fp16" else 1.0
    parts = plan_parts(config, [(b.batch_size, b.frames) for b in buckets], sum(p.size for p in network.trainable_params()), memory_gb, ranks.local)
    loss = CtcLoss(network, tokenizer.blank, config.optim.accumulate * ranks.size)
    step = TrainStep(network, loss, optimizer, config.optim, loss_scale, ranks.size, parts.accumulate)
    log_batch(f"{batch.batch_size} utterances", config, ranks)
    return Trainer(config, network, optimizer, step, loader, Validator(valid_loader, tokenizer), exp_dir, parts, ranks)


def log_batch(size: str, config: TrainConfig | PretrainConfig, ranks: Ranks) -> None:
    """Says what an update learns from, and what the published one did."""
    published = f"; published: {config.batch.published}" if config.batch.published else ""
    log.info("an update: %s x %d accumulated x %d devices%s", size, config.optim.accumulate, ranks.size, published)


def finish(trainer: Trainer, config: TrainConfig) -> None:
    """Chooses between the best checkpoint and the average of the best by validation WER, and writes model.safetensors and model.json."""
    checkpoints = trainer.checkpoints
    if not checkpoints.rows():
        trainer.score()
    best = checkpoints.rows()[0]
    candidates = [(best["wer"], best["loss"], checkpoints.best())]
    if config.trainer.average_checkpoints > 1 and len(checkpoints.rows()) > 1:
        path = checkpoints.averaged(config.trainer.average_checkpoints)
        assign_arrays(list(trainer.network.get_parameters()), load_arrays(path))
        scores = trainer.validator.run(trainer.network)
        candidates.append((scores["valid_wer"], scores["valid_loss"], path))
    wer, loss, path = min(candidates)
    save_arrays(trainer.exp_dir / "model.safetensors", load_arrays(path), {"source": path.name})
    summary = {"source": path.name, "valid_wer": wer, "valid_loss": loss, "updates": trainer.state.update, "epochs": trainer.state.epoch}
    with atomic_write(trainer.exp_dir / "model.json") as stream:
        json.dump(summary, stream, indent=1)
    for wer, _, candidate in candidates:
        log.info("%s: valid WER %.2f %%%s", candidate.name, wer, " (chosen)" if candidate == path else "")
    log.info("model: %s; curve: %s", trainer.exp_dir / "model.safetensors", trainer.exp_dir / "images" / "training.png")
