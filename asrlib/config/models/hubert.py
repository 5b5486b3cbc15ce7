"""HuBERT (Hsu et al. 2021)."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrlib.config.pretraining import LossConfig, PretrainConfig, TrunkConfig


@dataclass
class HubertConfig(TrunkConfig):
    """The trunk, and the clusters of its masked frames."""

    num_classes: int = 504  # 500 clusters; fairseq's dictionaries add four


@dataclass
class MaskedLossConfig(LossConfig):
    """Cross-entropy of the clusters."""

    unmasked_weight: float = 0.0  # of the frames that are not masked (1 - alpha of HuBERT, section 2.2, over alpha); published: 0


@dataclass
class Config(PretrainConfig):
    """A pretraining YAML of HuBERT: every key with its default."""

    model: Literal["hubert"] = "hubert"
    model_conf: HubertConfig = field(default_factory=HubertConfig)
    loss: MaskedLossConfig = field(default_factory=MaskedLossConfig)
    objective: ClassVar[str] = "masked_prediction"
    uses_clusters: ClassVar[bool] = True
