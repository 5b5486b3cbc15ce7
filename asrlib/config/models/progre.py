"""ProgRE: HuBERT with pitch and speaker subtracted."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrlib.config.models.hubert import HubertConfig, MaskedLossConfig
from asrlib.config.pretraining import TARGET_HOP, PretrainConfig


@dataclass
class ProgreConfig(HubertConfig):
    """HuBERT, the pitch encoder and the speaker module."""

    pitch_channels: int = 256
    pitch_hidden: int = 32
    speaker_layer: int = -1  # subtract the speaker part after this layer, counted from 0; -1: never (published: 3)
    speaker_bottleneck: int = 256
    num_speakers: int = 0  # classes of the speaker head; set from the data

    def __post_init__(self):
        super().__post_init__()
        if self.speaker_layer >= self.layers - 1:
            raise ValueError("speaker_layer must be before the last layer")
        if self.hop % TARGET_HOP:
            raise ValueError("conv_strides must make frames of 20 ms or a multiple: the pitch has 20 ms")

    def state_place(self, number: int) -> int:
        """See TrunkConfig; the pitch part comes first, and the speaker part after speaker_layer."""
        return number + 1 + int(0 <= self.speaker_layer < number - 1)


@dataclass
class ProgreLossConfig(MaskedLossConfig):
    """Cross-entropy of the clusters and of the speakers."""

    speaker_weight: float = 1.0  # of the speaker classification, our choice


@dataclass
class Config(PretrainConfig):
    """A pretraining YAML of ProgRE: every key with its default."""

    model: Literal["progre"] = "progre"
    model_conf: ProgreConfig = field(default_factory=ProgreConfig)
    loss: ProgreLossConfig = field(default_factory=ProgreLossConfig)
    objective: ClassVar[str] = "masked_prediction"
    uses_clusters: ClassVar[bool] = True
    uses_pitch: ClassVar[bool] = True
    uses_speakers: ClassVar[bool] = True
