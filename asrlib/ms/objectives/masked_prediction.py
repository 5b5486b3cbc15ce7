"""HuBERT's loss: predicts the cluster of each masked frame by cosine similarity (Hsu et al. 2021, section 2); ProgRE's speaker classification."""

import math
from collections.abc import Mapping
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.masked import MaskedLoader
from asrlib.ms.data.waveforms import WaveformSet
from asrlib.ms.layers.common import positions, time_mask
from asrlib.ms.objectives.losses import feature_penalty, unit
from asrlib.ms.objectives.pretraining import Pretraining


class MaskedLoss(nn.Cell):
    """A network of asrlib.ms.models.hubert with its loss.

    construct(wavs (B, S), lengths (B,), targets (B, T) int32, mask (B, T), keep (layers,), seed () int32, share (), pitch (B, T),
    speakers (B,) int32) -> loss (), metrics (5,): cross-entropy of the masked frames, their accuracy, feature penalty, cross-entropy and accuracy
    of the speakers.

    `share`: masked frames of the batch over those of the whole update, so that accumulated batches have the gradient of one large batch. Rows of
    length 0 only fill up the batch.
    """

    def __init__(self, network: nn.Cell, config: PretrainConfig):
        super().__init__(auto_prefix=False)
        self.network, self.progre = network, config.uses_pitch
        model = config.model_conf
        self.temperature, self.grad_mult = model.logit_temp, model.feature_grad_mult
        self.penalty, self.unmasked_weight = config.loss.feature_penalty, config.loss.unmasked_weight
        self.speaker_weight = config.loss.speaker_weight if config.uses_speakers else 0.0
        self.speaker_state = model.speaker_layer + 3 if config.uses_speakers else 0  # index after pitch part, input and layers 0 .. speaker_layer

    def construct(self, wavs, lengths, targets, mask, keep, seed, share, pitch, speakers):
        features, frames = self.network.feature_extractor(wavs, lengths)
        features = features * self.grad_mult + ops.stop_gradient(features) * (1.0 - self.grad_mult)
        penalty = feature_penalty(features, frames)
        if self.progre:
            states = self.network.all_states(features, frames, mask, keep, seed, pitch)
        else:
            states = self.network.hidden_states(features, frames, mask, keep, seed)
        loss, accuracy, unmasked = self._masked(states[-1], targets, mask, frames)
        total = loss + self.unmasked_weight * unmasked + self.penalty * penalty
        speaker_loss, speaker_accuracy = ops.zeros_like(loss), ops.zeros_like(loss)
        if self.progre and self.network.spk_linear is not None:
            speaker_loss, speaker_accuracy = self._speakers(states[self.speaker_state], frames, speakers)
            total = total + self.speaker_weight * speaker_loss
        return total * share, ops.stop_gradient(ops.stack((loss, accuracy, penalty, speaker_loss, speaker_accuracy)))

    def _masked(self, x, targets, mask, frames):
        """Mean cross-entropy and accuracy over the masked frames; sum of the cross-entropy of the other frames over the number of masked ones."""
        x = unit(self.network.final_proj(x))
        labels = unit(self.network.label_embs_concat)
        logits = ops.matmul(x, labels.T) / self.temperature
        count = ops.maximum(mask.sum(), 1.0)
        entropy = _cross_entropy(logits, targets)
        others = time_mask(frames, mask.shape[1]) * (1.0 - mask)
        return (entropy * mask).sum() / count, (_hits(logits, targets) * mask).sum() / count, (entropy * others).sum() / count

    def _speakers(self, part, frames, speakers):
        logits = self.network.speaker_logits(part, frames)
        known = (speakers >= 0).astype(ms.float32)
        labels, count = ops.maximum(speakers, 0), ops.maximum(known.sum(), 1.0)
        return (_cross_entropy(logits, labels) * known).sum() / count, (_hits(logits, labels) * known).sum() / count


def _cross_entropy(logits, labels):
    """(..., C), (...) -> (...): a product with one-hot labels, since gathers are slow to differentiate."""
    chosen = (positions(logits.shape[-1]) == labels.expand_dims(-1)).astype(ms.float32)
    return -(ops.log_softmax(logits, -1) * chosen).sum(-1)


def _hits(logits, labels):
    return (logits.argmax(-1).astype(ms.int32) == labels).astype(ms.float32)


class MaskedPrediction(Pretraining):
    """HuBERT and ProgRE: the cluster of each masked frame."""

    loader_type = MaskedLoader

    def __init__(self, config: PretrainConfig, train_set: WaveformSet, valid_set: WaveformSet):
        super().__init__(config, train_set, valid_set)
        speakers = ("speaker_loss", "speaker_accuracy") if config.uses_speakers else ()
        self.metrics = ("masked_loss", "masked_accuracy", "feature_penalty", *speakers)

    def prepare(self, folder: Path) -> None:
        """See Objective."""
        super().prepare(folder)
        used = sum(np.bincount(item.labels, minlength=self.config.model_conf.num_classes) for item in self.valid_set.items)
        self.statistics = cluster_statistics(used)

    def loss(self, network: nn.Cell) -> nn.Cell:
        """See Objective."""
        return MaskedLoss(network, self.config)

    def summary(self, row: Mapping[str, float]) -> str:
        """See Objective."""
        return f"{super().summary(row)} (the most frequent cluster would give {100 * row['always_most_frequent']:.1f} %)"


def cluster_statistics(counts: np.ndarray) -> dict[str, float]:
    """From the frames of each cluster: number of used clusters, perplexity, accuracy of always predicting the most frequent cluster."""
    share = counts[counts > 0] / max(1, counts.sum())
    perplexity = math.exp(-float((share * np.log(share)).sum()))
    return {"clusters_used": int((counts > 0).sum()), "cluster_perplexity": perplexity, "always_most_frequent": float(share.max(initial=0.0))}
