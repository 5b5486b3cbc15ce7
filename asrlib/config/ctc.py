"""A CTC training configuration: the sections that every family of CTC models has."""

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from asrlib.config.features import AugmentConfig, FeatureConfig
from asrlib.config.training import CtcBatchConfig, OptimConfig, ScheduleConfig, TrainerConfig


class CtcModelConfig(Protocol):
    """What training needs to know of the shape of a CTC model."""

    recomputed: ClassVar[str]  # the network's list of cells that trainer.recompute computes again
    output: ClassVar[str]  # its last layer, whose weights have one row per token

    def output_frames(self, frames: int) -> int:
        """Frames of the output for frames of the features."""

    def activation_size(self, frames: int) -> float:
        """float32 numbers that a training step holds at once for one utterance, as measured on a CPU (tools/bench/memory.py)."""


@dataclass
class TrainConfig:
    """A training YAML. Each family (asrlib.config.models) adds its name and its network: keys `model` and `model_conf`."""

    model: str = ""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    model_conf: CtcModelConfig = field(init=False)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batch: CtcBatchConfig = field(default_factory=CtcBatchConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    kind: ClassVar[str] = "ctc"

    def __post_init__(self):
        check_limits(self.schedule, self.trainer)

    def seconds(self, frames: int) -> float:
        """Seconds of the network's input."""
        return frames * self.features.window_stride

    def activation_size(self, frames: int) -> float:
        """See CtcModelConfig."""
        return self.model_conf.activation_size(frames)


def check_limits(schedule: ScheduleConfig, trainer: TrainerConfig) -> None:
    """ValueError: the schedule counts epochs, and the training is limited in updates alone."""
    if trainer.epochs == 0 and trainer.updates > 0 and schedule.name == "anneal":
        raise ValueError("schedule.name=anneal counts epochs: set trainer.epochs, or choose another schedule")
