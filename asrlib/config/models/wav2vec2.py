"""wav2vec 2.0 (Baevski et al. 2020)."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrlib.config.pretraining import LossConfig, PretrainConfig, TrunkConfig


@dataclass
class Wav2vec2Config(TrunkConfig):
    """The trunk, and the quantiser of the frames that masked frames have to identify."""

    codebooks: int = 2
    codewords: int = 320  # of a codebook
    code_dim: int = 256  # of the codewords of all codebooks side by side
    dropout_features: float = 0.1  # of the quantiser's input

    def __post_init__(self):
        super().__post_init__()
        if self.code_dim % self.codebooks:
            raise ValueError("code_dim must be a multiple of codebooks")


@dataclass
class ContrastiveLossConfig(LossConfig):
    """Contrastive loss among negatives, and the diversity of the codewords."""

    negatives: int = 100  # other masked frames of the utterance, drawn with replacement
    diversity_weight: float = 0.1  # of the fraction of unused codewords
    temperature: tuple[float, float] = (2.0, 0.5)  # of the Gumbel softmax, at first and at least
    temperature_decay: float = 0.999995  # factor of the temperature per update


@dataclass
class Config(PretrainConfig):
    """A pretraining YAML of wav2vec 2.0: every key with its default."""

    model: Literal["wav2vec2"] = "wav2vec2"
    model_conf: Wav2vec2Config = field(default_factory=Wav2vec2Config)
    loss: ContrastiveLossConfig = field(default_factory=ContrastiveLossConfig)
    objective: ClassVar[str] = "contrastive"
