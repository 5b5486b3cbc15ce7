"""Splits batches into parts so that training fits into the memory. The gradients of the parts are accumulated: the update stays the same.

The estimates were measured on a CPU (tools/bench/memory.py measures them again); the part that grows with the batch is in each model's configuration
(activation_size).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import mindspore as ms

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.config.training import OptimConfig
from asrlib.ms.data.batches import Batch
from asrlib.utils.log import get_logger
from asrlib.utils.memory import GB, available_memory

log = get_logger(__name__)

FLOAT = 4  # bytes
PROCESS = 0.9 * GB  # Python, MindSpore and a compiled graph
GRAPH = 0.2 * GB  # the compiled graph of each further length
SHARE = 0.9  # of the available memory, since other processes need some while a training runs
MARGIN = 1.15  # factor of an estimate, for the fragmentation of the memory pool
MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1, "novograd": 1}


@dataclass(frozen=True)
class Parts:
    """In how many parts batches are computed. plan: (rows, frames or samples) -> parts; default 1."""

    plan: dict[tuple[int, int], int] = field(default_factory=dict)

    def count(self, batch: Batch) -> int:
        """Number of parts of a batch."""
        return self.plan.get(batch.shape, 1)

    @property
    def accumulate(self) -> bool:
        """Whether any batch has several parts."""
        return any(count > 1 for count in self.plan.values())


def plan_parts(
    config: TrainConfig | PretrainConfig, shapes: Iterable[tuple[int, int]], parameters: int, memory_gb: float | None = None, processes: int = 1
) -> Parts:
    """The parts of batches that fit into the memory.

    shapes: (rows, frames or samples) of the batches; parameters: number of the network's parameters; memory_gb: limit on this machine, None: most of
    the available memory; processes: that share it. Warns if not even one row fits. Only the memory of CPUs is planned, not that of other devices.
    """
    if ms.get_context("device_target") != "CPU":
        return Parts()
    free = (SHARE * available_memory() if memory_gb is None else memory_gb * GB) / processes
    shapes = sorted(set(shapes))
    fixed = fixed_memory(config, parameters) + GRAPH * max(0, len(shapes) - 1)
    plan, needed = {}, 0.0
    for rows, length in shapes:
        row = activation_memory(config, 1, length) * MARGIN
        fitting = min(rows, int(max(0.0, free - fixed) / row))
        if not fitting:
            memory = f"needs {(fixed + row) / GB:.1f} GB, {free / GB:.1f} GB may be used"
            log.warning("a batch of one utterance of %.1f s %s: %s", config.seconds(length), memory, _advice(config))
        plan[rows, length] = -(-rows // max(1, fitting))
        needed = max(needed, fixed + row * rows)
    split = {shape: count for shape, count in plan.items() if count > 1}
    log.info("memory: the largest batch needs about %.1f GB, %.1f GB may be used%s", needed / GB, free / GB, "" if split else ": no batch is split")
    for (rows, length), count in split.items():
        size = -(-rows // count)
        log.info("batches of %d x %.1f s are computed in %d parts of %d utterances", rows, config.seconds(length), count, size)
    return Parts(split)


def fixed_memory(config: TrainConfig | PretrainConfig, parameters: int) -> float:
    """Bytes that do not depend on the batch: weights, gradients, moments, moving average of the weights, sums of gradients."""
    optim: OptimConfig = config.optim
    copies = 2 + MOMENTS[optim.name] + (1 if config.trainer.ema else 0) + 1
    return PROCESS + copies * parameters * FLOAT


def activation_memory(config: TrainConfig | PretrainConfig, rows: int, length: int) -> float:
    """Bytes of a step that grow with the batch. length: frames of the features, or samples."""
    return FLOAT * rows * config.activation_size(length)


def _advice(config: TrainConfig | PretrainConfig) -> str:
    recompute = "" if config.trainer.recompute else ", trainer.recompute=true"
    return f"training may run out of memory; lower batch.max_seconds={config.batch.max_seconds:g}{recompute}"
