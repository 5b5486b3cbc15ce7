"""Trains a model in exp_dir, given a configuration and an objective."""

import contextlib
import difflib
import json
from operator import attrgetter
from pathlib import Path

import mindspore as ms
from mindspore import nn

from asrlib.config.base import dump_config, save_config
from asrlib.config.ctc import TrainConfig
from asrlib.config.families import load_experiment_config
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.checkpoint.weights import assign_arrays, load_arrays, load_pretrained
from asrlib.ms.device import use_device
from asrlib.ms.layers.common import Linear
from asrlib.ms.layers.convolution import Conv, Conv2d, TimeConv
from asrlib.ms.models import make_network
from asrlib.ms.objectives.base import Objective
from asrlib.ms.training.memory_plan import plan_parts
from asrlib.ms.training.optim import Ema, make_optimizer
from asrlib.ms.training.parallel import Ranks, join
from asrlib.ms.training.profiling import profiling
from asrlib.ms.training.state import saved_data
from asrlib.ms.training.step import TrainStep
from asrlib.ms.training.trainer import Trainer
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError
from asrlib.utils.files import BUSY, LOCK, atomic_write, held
from asrlib.utils.former import StartOver, remove, set_aside
from asrlib.utils.log import get_logger

log = get_logger(__name__)

Config = TrainConfig | PretrainConfig
RUN = ("model.safetensors", "model.json", "checkpoints", "history.jsonl", "tensorboard", "images", "ranks", "state.safetensors")  # the state last


def train(
    objective: Objective,
    exp_dir: Path,
    pretrained: Path | None,
    device: str,
    start_over: StartOver = StartOver(),  # noqa: B008  (frozen)
    memory_gb: float | None = None,
    profile: bool = False,
) -> None:
    """Trains, or resumes training, in exp_dir; at the end writes exp_dir/model.safetensors.

    pretrained: weights to start from; memory_gb: limit, None: the available memory; profile: write a trace of some updates. With N
    processes every update has N times as many batches, of which each process computes its part; the first process writes. A run on other data in
    exp_dir is set aside. UserError: exp_dir holds a run with another configuration, or the data are invalid.
    """
    config = objective.config
    if config.trainer.precision == "bf16" and device == "CPU":
        raise UserError("trainer.precision=bf16: MindSpore has no such convolutions on CPU: set fp32 or fp16")
    if config.trainer.precision == "fp16" and device == "CPU":
        log.warning("trainer.precision=fp16: on a CPU float16 is many times slower than float32: set trainer.precision=fp32")
    use_device(device)
    ranks = join(device)
    exp_dir.mkdir(parents=True, exist_ok=True)
    with held(exp_dir / LOCK, BUSY.format(exp_dir)) if ranks.rank == 0 else contextlib.nullcontext():
        _train(objective, exp_dir, pretrained, ranks, start_over, memory_gb, profile)


def _train(
    objective: Objective, exp_dir: Path, pretrained: Path | None, ranks: Ranks, start_over: StartOver, memory_gb: float | None, profile: bool
) -> None:
    config = objective.config
    if ranks.rank == 0:
        if start_over.due(exp_dir):
            remove(exp_dir, RUN)
            start_over.done(exp_dir)
        claim(exp_dir, config)
        objective.save(exp_dir)
    ranks.sum(0.0)  # the other processes wait here
    network = make_network(config, objective.vocab_size)
    log.info("%s: %d parameters", config.model, sum(p.size for p in network.trainable_params()))
    if pretrained:
        load_pretrained(network, pretrained)
    set_precision(network, config)
    objective.prepare(ranks.folder(exp_dir))
    if ranks.rank == 0 and saved_data(exp_dir) not in ("", objective.fingerprint()):
        set_aside(exp_dir, RUN, "the data have changed since the last run")
    ranks.sum(0.0)  # likewise
    trainer = make_trainer(network, objective, exp_dir, ranks, memory_gb)
    with profiling(trainer, profile and ranks.rank == 0):
        trainer.run()
    if ranks.rank == 0:
        finish(trainer)


def claim(exp_dir: Path, config: Config) -> None:
    """Writes the resolved configuration and removes incomplete files of a killed run. UserError: a run with another configuration is there."""
    for left in (*exp_dir.glob(".*.tmp"), *exp_dir.glob("checkpoints/.*.tmp")):
        left.unlink(missing_ok=True)
    path = exp_dir / "config.yaml"
    if path.exists() and (exp_dir / "state.safetensors").exists():
        earlier = dump_config(load_experiment_config(path))  # with today's keys
        changed = [line for line in difflib.ndiff(earlier.splitlines(), dump_config(config).splitlines()) if line[0] in "-+"]
        if changed:
            raise UserError(
                f"{exp_dir} holds a run with another configuration ({'; '.join(' '.join(line.split()) for line in changed[:6])}): "
                "choose another --tag or --exp_dir, or start over with --force true"
            )
    save_config(config, path)


def set_precision(network: nn.Cell, config: Config) -> None:
    """Sets half precision of convolutions and projections, and recomputation of layers, as configured."""
    half = {"fp16": ms.float16, "bf16": ms.bfloat16}.get(config.trainer.precision)
    if half is not None:
        for _, cell in network.cells_and_names():
            if isinstance(cell, nn.Dense):
                cell.to_float(half)
            elif isinstance(cell, (Conv, Conv2d, Linear, TimeConv)):
                cell.dtype = half
    if config.trainer.recompute:
        for layer in attrgetter(config.model_conf.recomputed)(network):
            layer.recompute()


def make_trainer(network: nn.Cell, objective: Objective, exp_dir: Path, ranks: Ranks, memory_gb: float | None) -> Trainer:
    """Makes the optimizer, the plan of parts that fit into the memory, the step and the trainer."""
    config = objective.config
    optimizer = make_optimizer(network, config.optim)
    if config.trainer.ema:
        optimizer = Ema(optimizer, network, config.trainer.ema)
    parameters = sum(p.size for p in network.trainable_params())
    parts = plan_parts(config, objective.shapes(), parameters, memory_gb, ranks.local)
    step = TrainStep(network, objective.loss(network), optimizer, config.optim, config.trainer.precision == "fp16", ranks, parts.accumulate)
    log_batch(config, ranks)
    log.info("buckets (frames x utterances): %s", ", ".join(f"{b.frames} x {b.batch_size}" for b in objective.loader.buckets))
    return Trainer(config, network, optimizer, step, objective, exp_dir, parts, ranks)


def log_batch(config: Config, ranks: Ranks) -> None:
    """Logs the size of an update, and that of the publication."""
    published = f"; published: {config.batch.published}" if config.batch.published else ""
    size = f"{config.batch.batch_seconds:g} s" if config.batch.batch_seconds else f"{config.batch.batch_size} utterances"
    log.info("size of an update: %s x %d accumulated x %d devices%s", size, config.optim.accumulate, ranks.size, published)


def finish(trainer: Trainer) -> None:
    """Writes model.safetensors: the last weights, or with trainer.final=best the better of the best checkpoint and the average of the best ones."""
    exp_dir = trainer.exp_dir
    if trainer.config.trainer.final == "last":
        trainer.save_weights(exp_dir / "model.safetensors")
    else:
        choose_best(trainer)
    log.info("model: %s; curve: %s", exp_dir / "model.safetensors", exp_dir / "images" / "training.png")


def choose_best(trainer: Trainer) -> None:
    """Writes model.safetensors, and model.json with its source and scores."""
    checkpoints, objective, config = trainer.checkpoints, trainer.objective, trainer.config.trainer
    if not checkpoints.rows():
        trainer.validate()
    best = checkpoints.rows()[0]
    candidates = [(best["score"], best["loss"], checkpoints.best())]
    if config.average_checkpoints > 1 and len(checkpoints.rows()) > 1:
        path = checkpoints.averaged(config.average_checkpoints)
        assign_arrays(list(trainer.network.get_parameters()), load_arrays(path))
        scores = objective.validate(trainer.network, trainer.parts, trainer.state.update)
        candidates.append((scores[objective.score], scores["valid_loss"], path))
    score, loss, path = min(candidates)
    save_arrays(trainer.exp_dir / "model.safetensors", load_arrays(path), {"source": path.name})
    summary = {"source": path.name, objective.score: score, "valid_loss": loss, "updates": trainer.state.update, "epochs": trainer.state.epoch}
    with atomic_write(trainer.exp_dir / "model.json") as stream:
        json.dump(summary, stream, indent=1)
    for value, _, candidate in candidates:
        log.info("%s: %s %.2f%s", candidate.name, objective.score, value, " (chosen)" if candidate == path else "")
