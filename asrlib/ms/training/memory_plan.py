"""How many parts each batch is computed in, so that training fits into the memory there is. The gradients of the parts are added up: the update stays the same.

The estimates are what a step was measured to take on a CPU (tools/bench/memory.py measures again); what grows with the batch stands with each model's
configuration (activation_size).
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
PROCESS = 0.9 * GB  # Python, MindSpore and compiled graphs of a few lengths
MARGIN = 1.15  # of an estimate, for what the memory pool leaves unused between its blocks
MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1, "novograd": 1}


@dataclass(frozen=True)
class Parts:
    """In how many parts batches are computed, by rows and length (frames or samples); 1 where nothing is said."""

    plan: dict[tuple[int, int], int] = field(default_factory=dict)

    def of(self, batch: Batch) -> int:
        """Parts of a batch."""
        return self.plan.get(batch.shape, 1)

    @property
    def accumulate(self) -> bool:
        """Whether any batch has several."""
        return any(count > 1 for count in self.plan.values())


def plan_parts(config: TrainConfig | PretrainConfig, shapes: Iterable[tuple[int, int]], parameters: int, memory_gb: float | None = None, processes: int = 1) -> Parts:
    """shapes: (rows, frames or samples) of the batches; parameters: numbers of the network; memory_gb: what training may take on this machine, None: what there is;
    processes: that share it.

    Warns where not even one row fits. Other devices than CPUs have memory of their own, of which nothing is planned.
    """
    if ms.get_context("device_target") != "CPU":
        return Parts()
    free = (available_memory() if memory_gb is None else memory_gb * GB) / processes
    fixed = fixed_memory(config, parameters)
    plan, needed = {}, 0.0
    for rows, length in sorted(set(shapes)):
        row, room = activation_memory(config, 1, length) * MARGIN, max(0.0, free - fixed)
        fitting = min(rows, int(room / row))
        if not fitting:
            log.warning("a batch of one utterance of %.1f s needs %.1f GB and %.1f GB are free: %s", config.seconds(length), (fixed + row) / GB, free / GB, _advice(config))
        plan[rows, length] = -(-rows // max(1, fitting))
        needed = max(needed, fixed + row * rows)
    split = {shape: count for shape, count in plan.items() if count > 1}
    log.info("memory: the largest batch needs about %.1f GB, %.1f GB are free%s", needed / GB, free / GB, "" if split else ": whole batches")
    for (rows, length), count in split.items():
        log.info("batches of %d x %.1f s are computed in %d parts of %d utterances, whose gradients are added up", rows, config.seconds(length), count, -(-rows // count))
    return Parts(split)


def fixed_memory(config: TrainConfig | PretrainConfig, parameters: int) -> float:
    """Bytes that do not depend on the batch: weights, gradients, moments, average of the weights, sums of gradients."""
    optim: OptimConfig = config.optim
    copies = 2 + MOMENTS[optim.name] + (1 if config.trainer.ema else 0) + 1
    return PROCESS + copies * parameters * FLOAT


def activation_memory(config: TrainConfig | PretrainConfig, rows: int, length: int) -> float:
    """Bytes of a step that grow with the batch. length: frames of the features, or samples."""
    return FLOAT * rows * config.activation_size(length)


def _advice(config: TrainConfig | PretrainConfig) -> str:
    recompute = "" if config.trainer.recompute else ", trainer.recompute=true"
    return f"it may be killed; lower batch.max_seconds={config.batch.max_seconds:g}{recompute}"
