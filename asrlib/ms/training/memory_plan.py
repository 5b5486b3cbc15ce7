"""Splits batches into parts so that training fits into the memory. The gradients of the parts are accumulated: the update stays the same."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import mindspore as ms

from asrlib.config.ctc import TrainConfig
from asrlib.config.memory import MARGIN, activation_memory, fixed_memory
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.batches import Batch
from asrlib.utils.log import get_logger
from asrlib.utils.memory import GB, available_memory

log = get_logger(__name__)

GRAPH = 0.2 * GB  # the compiled graph of each further length
SHARE = 0.9  # of the available memory, since other processes need some while a training runs


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


def _advice(config: TrainConfig | PretrainConfig) -> str:
    recompute = "" if config.trainer.recompute else ", trainer.recompute=true"
    return f"training may run out of memory; lower batch.max_seconds={config.batch.max_seconds:g}{recompute}"
