"""The memory of a training step on a CPU.

The estimates were measured (tools/bench/memory.py measures them again); the part that grows with the batch is in each model's configuration
(activation_size).
"""

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.config.training import OptimConfig

FLOAT = 4  # bytes
PROCESS = 0.9e9  # bytes: Python, MindSpore and a compiled graph
MARGIN = 1.15  # factor of an estimate, for the fragmentation of the memory pool
MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1, "novograd": 1}


def fixed_memory(config: TrainConfig | PretrainConfig, parameters: int) -> float:
    """Bytes that do not depend on the batch: weights, gradients, moments, moving average of the weights, sums of gradients."""
    optim: OptimConfig = config.optim
    copies = 2 + MOMENTS[optim.name] + (1 if config.trainer.ema else 0) + 1
    return PROCESS + copies * parameters * FLOAT


def activation_memory(config: TrainConfig | PretrainConfig, rows: int, length: int) -> float:
    """Bytes of a step that grow with the batch. length: frames of the features, or samples."""
    return FLOAT * rows * config.activation_size(length)
