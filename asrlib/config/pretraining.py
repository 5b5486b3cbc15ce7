"""A pretraining configuration: the sections that every self-supervised family has, and the trunk that they share."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrlib.config.checks import require_at_least
from asrlib.config.ctc import check_limits
from asrlib.config.training import PretrainBatchConfig, PretrainOptimConfig, PretrainScheduleConfig, PretrainTrainerConfig

RATE = 16000  # samples a second of all waveforms
TARGET_HOP = 320  # samples from one frame of MFCC clusters and pitch to the next (20 ms)
LOG_MEL = (400, 160)  # samples in a log-mel frame and from one to the next: Kaldi's 25 ms every 10 ms


@dataclass
class TrunkConfig:
    """Convolutions from the waveform to frames and a transformer (Baevski et al. 2020); defaults are HuBERT base's."""

    frontend: Literal["waveform", "logmel"] = "waveform"  # what the convolutions see: samples, or log-mel frames of 10 ms (Yang et al. 2023)
    num_mels: int = 80  # logmel only
    conv_channels: int = 512
    conv_kernels: tuple[int, ...] = ()  # none: (10, 3, 3, 3, 3, 2, 2), logmel (5, 5): odd numbers, half of them is padded
    conv_strides: tuple[int, ...] = ()  # none: (5, 2, 2, 2, 2, 2, 2), 20 ms a frame; logmel (2, 2), 40 ms; [2] gives 20 ms
    extractor_mode: Literal["group", "layer"] = "group"  # normalisation in the convolutions: after the first over time, or after each over channels
    conv_bias: bool = False  # the convolutions have a bias (wav2vec 2.0 large, XLSR; HuBERT large as published for transformers)
    conv_init: Literal["kaiming", "average"] = "kaiming"  # average: from the third on, convolutions begin as means over time (CONTRIBUTING.md)
    normalize: bool = False  # waveform to mean 0 and deviation 1
    dim: int = 768
    ffn_dim: int = 3072
    heads: int = 12
    layers: int = 12
    layer_norm_first: bool = False  # pre-LN, with a final normalisation (large)
    conv_pos: int = 128
    conv_pos_groups: int = 16
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    dropout_input: float = 0.1
    layerdrop: float = 0.05
    feature_grad_mult: float = 0.1  # gradient of the convolutions
    final_dim: int = 256
    logit_temp: float = 0.1
    recomputed: ClassVar[str] = "encoder.layers"

    def __post_init__(self):
        self._set_convolutions()
        if len(self.conv_kernels) != len(self.conv_strides):
            raise ValueError("conv_kernels and conv_strides must be of one length")
        require_at_least(self, 1, "num_mels")
        if self.frontend == "logmel" and not all(width % 2 for width in self.conv_kernels):
            raise ValueError("conv_kernels must be odd with frontend=logmel")
        if self.frontend == "logmel" and self.hop % TARGET_HOP:
            raise ValueError("conv_strides must make multiples of 20 ms of log-mel frames of 10 ms, such as [2] or [2, 2]: targets have 20 ms")
        if self.dim % self.heads or self.dim % self.conv_pos_groups:
            raise ValueError("dim must be a multiple of heads and of conv_pos_groups")

    def _set_convolutions(self) -> None:
        """Those of HuBERT or, for log-mel frames, of Fast-HuBERT (arXiv 2309.13860), where none are given."""
        count = len(self.conv_kernels or self.conv_strides) or 2
        logmel = self.frontend == "logmel"
        self.conv_kernels = self.conv_kernels or ((5,) * count if logmel else (10, 3, 3, 3, 3, 2, 2))
        self.conv_strides = self.conv_strides or ((2,) * count if logmel else (5, 2, 2, 2, 2, 2, 2))

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """Width and stride of every layer before the transformer as a convolution without padding: one that is padded by half gives as many frames
        as one of width 1."""
        if self.frontend == "logmel":
            return LOG_MEL, *((1, stride) for stride in self.conv_strides)
        return tuple(zip(self.conv_kernels, self.conv_strides, strict=True))

    @property
    def hop(self) -> int:
        """Samples from one output frame to the next (320)."""
        return math.prod(stride for _, stride in self.windows)

    def frames(self, samples: int) -> int:
        """Output frames of that many samples; 0 or less: too short."""
        for width, stride in self.windows:
            samples = (samples - width) // stride + 1
        return samples

    def samples(self, frames: int) -> int:
        """The fewest samples that give that many output frames."""
        for width, stride in reversed(self.windows):
            frames = (frames - 1) * stride + width
        return frames

    def state_place(self, number: int) -> int:
        """Place of a hidden state in the network's output; 0: input of the first layer, N: output of layer N."""
        return number

    def activation_size(self, samples: int) -> float:
        """float32 numbers that a training step holds at once for one utterance, as measured on a CPU (tools/bench/memory.py)."""
        frames, convolved = samples, 0
        sizes = [self.conv_channels] * len(self.conv_strides)
        if self.frontend == "logmel":
            sizes.insert(0, 2 * LOG_MEL[0])  # samples of the frames, and their spectrum
        for (width, stride), size in zip(self.windows, sizes, strict=True):
            frames = (frames - width) // stride + 1
            convolved += frames * size
        attention = 3 * self.heads * frames**2  # of one layer at a time
        return 2.0 * convolved + self.layers * frames * (16.0 * self.dim + 2 * self.ffn_dim) + attention


@dataclass
class MaskConfig:
    """Masked spans of frames."""

    prob: float = 0.8  # of the frames, before overlaps
    length: int = 10
    min_masks: int = 2


@dataclass
class LossConfig:
    """The keys of all pretraining losses."""

    feature_penalty: float = 10.0  # times the mean square of the convolutions' output


@dataclass
class PretrainConfig:
    """A pretraining YAML. Each family (asrlib.config.models) adds its name, its network and its loss: keys `model`, `model_conf` and `loss`."""

    model: str = ""
    model_conf: TrunkConfig = field(default_factory=TrunkConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    batch: PretrainBatchConfig = field(default_factory=PretrainBatchConfig)
    optim: PretrainOptimConfig = field(default_factory=PretrainOptimConfig)
    schedule: PretrainScheduleConfig = field(default_factory=PretrainScheduleConfig)
    trainer: PretrainTrainerConfig = field(default_factory=PretrainTrainerConfig)
    kind: ClassVar[str] = "pretraining"
    objective: ClassVar[str]  # module of asrlib.ms.objectives
    uses_clusters: ClassVar[bool] = False  # a cluster for every frame is needed as target
    uses_pitch: ClassVar[bool] = False  # the pitch of every frame is an input
    uses_speakers: ClassVar[bool] = False  # the speaker of every utterance is a target

    def __post_init__(self):
        check_limits(self.schedule, self.trainer)

    def seconds(self, samples: int) -> float:
        """Seconds of the network's input."""
        return samples / RATE

    def activation_size(self, samples: int) -> float:
        """See TrunkConfig."""
        return self.model_conf.activation_size(samples)
