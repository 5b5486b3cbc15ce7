"""From a configuration, two data directories and their targets to a pretrained model in exp_dir."""

from pathlib import Path

import mindspore as ms
from mindspore import nn

from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.checkpoint.weights import load_pretrained, network_arrays
from asrlib.ms.data.waveforms import PretrainSet, make_buckets, samples_of
from asrlib.ms.device import use_device
from asrlib.ms.layers.common import Linear
from asrlib.ms.layers.convolution import TimeConv
from asrlib.ms.models import make_upstream
from asrlib.ms.objectives.base import objective_of
from asrlib.ms.training.memory_plan import plan_parts
from asrlib.ms.training.optim import make_optimizer
from asrlib.ms.training.parallel import join
from asrlib.ms.training.pretrainer import Pretrainer
from asrlib.ms.training.run import claim, clear, log_batch
from asrlib.ms.training.step import TrainStep
from asrlib.utils.arrays import save_arrays
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def pretrain(
    config: PretrainConfig,
    train_set: PretrainSet,
    valid_set: PretrainSet,
    exp_dir: Path,
    pretrained: Path | None = None,
    device: str = "CPU",
    start_over: bool = False,
    memory_gb: float | None = None,
) -> None:
    """Pretrains, or goes on pretraining, in exp_dir; ends with exp_dir/model.safetensors. With trainer.updates=0 that is the network as it starts.

    Under msrun each process takes its part of every update's batches, of which there are as many times more; the first process writes.
    UserError when exp_dir holds a run with another configuration or other data.
    """
    use_device(device)
    ranks = join(device)
    exp_dir.mkdir(parents=True, exist_ok=True)
    if ranks.rank == 0:
        if start_over:
            clear(exp_dir)
        claim(exp_dir, config)
    ranks.sum(0.0)  # the others wait here
    network = make_upstream(config)
    log.info("%s: %d parameters", config.model, sum(p.size for p in network.trainable_params()))
    if pretrained:
        load_pretrained(network, pretrained)
    set_precision(network, config.trainer.precision)
    own_dir = exp_dir if ranks.rank == 0 else exp_dir / "ranks" / str(ranks.rank)
    train_set.set_aside(own_dir / "set_aside.train.tsv")
    valid_set.set_aside(own_dir / "set_aside.valid.tsv")
    optimizer = make_optimizer(network, config.optim)
    loss_scale = config.trainer.loss_scale if config.trainer.precision == "fp16" else 1.0
    objective = objective_of(config)
    buckets, valid_buckets = make_buckets(train_set), make_buckets(valid_set)
    shapes = [(b.batch_size, samples_of(b.frames, config.model_conf)) for b in (*buckets, *valid_buckets)]
    parts = plan_parts(config, shapes, sum(p.size for p in network.trainable_params()), memory_gb, ranks.local)
    step = TrainStep(network, objective.loss(network), optimizer, config.optim, loss_scale, ranks.size, parts.accumulate)
    log_batch(f"{config.batch.batch_seconds:g} s", config, ranks)
    log.info("buckets (frames x utterances): %s", ", ".join(f"{b.frames} x {b.batch_size}" for b in buckets))
    loaders = tuple(
        objective.loader(data, make_buckets(data), config.trainer.seed, shuffle=data.train, prefetch=config.batch.prefetch)
        for data in (train_set, valid_set)
    )
    Pretrainer(config, network, optimizer, step, objective, loaders, exp_dir, parts, ranks).run()
    if ranks.rank != 0:
        return
    save_arrays(exp_dir / "model.safetensors", network_arrays(network), {"updates": str(config.trainer.updates)})
    log.info("model: %s; curve: %s", exp_dir / "model.safetensors", exp_dir / "images" / "training.png")


def set_precision(network: nn.Cell, precision: str) -> None:
    """Matrix products of transformer and convolutions in half precision where asked for; normalisations, softmax and losses stay in float32."""
    half = {"fp16": ms.float16, "bf16": ms.bfloat16}.get(precision)
    if half is not None:
        for _, cell in network.cells_and_names():
            if isinstance(cell, (Linear, TimeConv)):
                cell.dtype = half
