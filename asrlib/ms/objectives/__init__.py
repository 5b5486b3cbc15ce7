"""Training objectives: losses, batches, validation, metrics."""

from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.objectives.contrastive import Contrastive
from asrlib.ms.objectives.masked_prediction import MaskedPrediction
from asrlib.ms.objectives.pretraining import Pretraining

PRETRAINING: dict[str, type[Pretraining]] = {"masked_prediction": MaskedPrediction, "contrastive": Contrastive}


def objective_of(config: PretrainConfig) -> type[Pretraining]:
    """The objective that the family of a configuration is pretrained with."""
    return PRETRAINING[config.objective]
