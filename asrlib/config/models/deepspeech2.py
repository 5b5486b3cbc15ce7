"""DeepSpeech2 (Amodei et al. 2016) as the MindSpore model zoo computes it."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrlib.config.checks import require_at_least
from asrlib.config.ctc import TrainConfig


@dataclass
class DeepSpeech2Config:
    """Shape of the network."""

    conv_channels: int = 32
    rnn_type: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: int = 1024
    hidden_layers: int = 5
    bidirectional: bool = True  # the two directions are summed
    rnn_norm: Literal["none", "layer"] = "none"  # before every recurrent layer but the first
    lookahead_context: int = 20  # output frames a unidirectional model looks ahead; unused when bidirectional
    init: Literal["kaiming", "published"] = "kaiming"  # of convolutions and projection: U(+-1/sqrt(inputs)), or the model zoo's

    def __post_init__(self):
        require_at_least(self, 1, "conv_channels", "hidden_size", "hidden_layers", "lookahead_context")

    recomputed: ClassVar[str] = "rnns"
    output: ClassVar[str] = "fc"

    def output_frames(self, frames: int) -> int:
        """The convolutions halve the rate."""
        return (frames - 1) // 2 + 1

    def activation_size(self, frames: int) -> float:
        """See asrlib.config.ctc.CtcModelConfig."""
        return 2.2 * frames * self.hidden_layers * self.hidden_size * (2 if self.bidirectional else 1)


@dataclass
class Config(TrainConfig):
    """A training YAML of DeepSpeech2: every key with its default."""

    model: Literal["deepspeech2"] = "deepspeech2"
    model_conf: DeepSpeech2Config = field(default_factory=DeepSpeech2Config)
