"""Jasper (Li et al. 2019)."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrlib.config.checks import require_at_least
from asrlib.config.ctc import TrainConfig
from asrlib.config.features import LogMelConfig


@dataclass
class JasperConfig:
    """Jasper BxR with dense residuals (Li et al. 2019): B blocks of R sub-blocks; the defaults are 10x5."""

    repeat: int = 5  # sub-blocks of a block
    blocks: int = 2  # of each width
    filters: tuple[int, ...] = (256, 384, 512, 640, 768)
    kernels: tuple[int, ...] = (11, 13, 17, 21, 25)
    dropouts: tuple[float, ...] = (0.2, 0.2, 0.2, 0.3, 0.3)
    prologue_filters: int = 256
    prologue_kernel: int = 11  # stride 2
    prologue_dropout: float = 0.2
    epilogue_filters: tuple[int, int] = (896, 1024)
    epilogue_kernel: int = 29  # dilation 2; the second one's is 1
    epilogue_dropout: float = 0.4

    def __post_init__(self):
        require_at_least(self, 1, "repeat", "blocks", "prologue_filters")
        if not len(self.filters) == len(self.kernels) == len(self.dropouts) >= 1:
            raise ValueError("filters, kernels and dropouts must be of one length")
        if any(width % 2 == 0 for width in (*self.kernels, self.prologue_kernel, self.epilogue_kernel)):
            raise ValueError("kernels, prologue_kernel and epilogue_kernel must be odd")

    recomputed: ClassVar[str] = "blocks"
    output: ClassVar[str] = "decoder"

    def output_frames(self, frames: int) -> int:
        """The prologue halves the rate."""
        return (frames - 1) // 2 + 1

    def activation_size(self, frames: int) -> float:
        """See asrlib.config.ctc.CtcModelConfig."""
        return 8.6 * frames / 2 * self.channels

    @property
    def channels(self) -> int:
        """Output channels of all convolutions, those of the dense residuals included."""
        blocks = [filters for filters in self.filters for _ in range(self.blocks)]
        residual = sum(number * filters for number, filters in enumerate(blocks, 1))
        return self.prologue_filters + self.repeat * sum(blocks) + residual + sum(self.epilogue_filters)


@dataclass
class Config(TrainConfig):
    """A training YAML of Jasper: every key with its default."""

    model: Literal["jasper"] = "jasper"
    features: LogMelConfig = field(default_factory=LogMelConfig)
    model_conf: JasperConfig = field(default_factory=JasperConfig)
