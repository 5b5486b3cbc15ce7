"""What each family of models is pretrained for: its loss and batches, and what a run says of its course."""

import math
from collections.abc import Mapping

import numpy as np
from mindspore import nn

from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.waveforms import ContrastiveLoader, PretrainLoader, PretrainSet
from asrlib.ms.objectives.contrastive import Contrastive
from asrlib.ms.objectives.masked_prediction import MaskedPrediction


class Masked:
    """HuBERT and ProgRE: the cluster of each masked frame."""

    loader = PretrainLoader

    def __init__(self, config: PretrainConfig):
        speakers = ("speaker_loss", "speaker_accuracy") if config.model == "progre" else ()
        self.metrics = ("masked_loss", "masked_accuracy", "feature_penalty", *speakers)  # the loss's numbers: loss and accuracy come first
        self.config = config

    def loss(self, network: nn.Cell) -> nn.Cell:
        return MaskedPrediction(network, self.config)

    def statistics(self, valid_set: PretrainSet) -> dict[str, float]:
        """Of the validation set's clusters: how many there are, their perplexity, and the accuracy of always naming the most frequent one."""
        used = sum(np.bincount(item.labels, minlength=self.config.model_conf.num_classes) for item in valid_set.items)
        share = used[used > 0] / max(1, used.sum())
        perplexity = math.exp(-float((share * np.log(share)).sum()))
        return {"clusters_used": int((used > 0).sum()), "cluster_perplexity": perplexity, "always_most_frequent": float(share.max(initial=0.0))}

    def remark(self, row: Mapping[str, float]) -> str:
        """For the line of a validation."""
        return f"the most frequent cluster would give {100 * row['always_most_frequent']:.1f} %"

    def warning(self, row: Mapping[str, float]) -> str:
        """What is wrong with a row of training; empty: nothing."""
        return ""


class AmongNegatives:
    """wav2vec 2.0: the quantised frame behind each masked one."""

    loader = ContrastiveLoader
    metrics = ("contrastive_loss", "contrastive_accuracy", "feature_penalty", "prob_perplexity", "code_perplexity")

    def __init__(self, config: PretrainConfig):
        self.config, model = config, config.model_conf
        self.words = model.codebooks * model.codewords
        self.collapsed = model.codebooks * max(1.5, 0.02 * model.codewords)  # the published run dipped to about 15 of 640 and came back

    def loss(self, network: nn.Cell) -> nn.Cell:
        return Contrastive(network, self.config)

    def statistics(self, valid_set: PretrainSet) -> dict[str, float]:
        """Nothing that the data decides alone."""
        return {}

    def remark(self, row: Mapping[str, float]) -> str:
        """For the line of a validation."""
        return f"perplexity of the codewords {row['valid_code_perplexity']:.1f} of {self.words}"

    def warning(self, row: Mapping[str, float]) -> str:
        """Collapse: nearly all frames have one codeword."""
        if row["code_perplexity"] >= self.collapsed:
            return ""
        advice = "if it stays there, raise loss.diversity_weight or schedule.warmup_steps, or lower optim.learning_rate"
        return f"the quantiser uses few codewords: perplexity {row['code_perplexity']:.1f} of {self.words}: {advice}"


def objective_of(config: PretrainConfig) -> Masked | AmongNegatives:
    """The objective of a configuration's model."""
    return (AmongNegatives if config.model == "wav2vec2" else Masked)(config)
