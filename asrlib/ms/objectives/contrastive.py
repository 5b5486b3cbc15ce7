"""wav2vec 2.0's loss: identifies the quantised frame of each masked one among negatives of the utterance (Baevski et al. 2020, section 3.2)."""

from collections.abc import Mapping

import mindspore as ms
from mindspore import nn, ops

from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.masked import ContrastiveLoader
from asrlib.ms.data.waveforms import WaveformSet
from asrlib.ms.layers.broadcast import RowScale
from asrlib.ms.layers.common import time_mask
from asrlib.ms.objectives.losses import feature_penalty, unit
from asrlib.ms.objectives.pretraining import Pretraining


class ContrastiveLoss(nn.Cell):
    """A network of asrlib.ms.models.wav2vec2 with its loss.

    construct(wavs (B, S), lengths (B,), mask (B, T), negatives (B, T, T), keep (layers,), seed () int32, share (), temperature (),
    noise (B, T, codebooks * codewords)) -> loss (), metrics (5,): contrastive loss and accuracy of the masked frames, feature penalty, perplexity
    of the codewords' mean probabilities and of their use.

    negatives[b, i, j]: how often frame j was drawn as a negative of the masked frame i, so that one matrix product gives all similarities without
    gathers. A negative with the same codewords as the target does not count, as in fairseq. `share`: see asrlib.ms.objectives.masked_prediction.
    """

    def __init__(self, network: nn.Cell, config: PretrainConfig):
        super().__init__(auto_prefix=False)
        self.network, self.codewords = network, config.model_conf.codebooks * config.model_conf.codewords
        self.logit_temp, self.grad_mult = config.model_conf.logit_temp, config.model_conf.feature_grad_mult
        self.penalty, self.diversity = config.loss.feature_penalty, config.loss.diversity_weight
        self.products, self.scale = ops.BatchMatMul(transpose_b=True), RowScale()

    def construct(self, wavs, lengths, mask, negatives, keep, seed, share, temperature, noise):
        features, frames = self.network.feature_extractor(wavs, lengths)
        features = features * self.grad_mult + ops.stop_gradient(features) * (1.0 - self.grad_mult)
        penalty = feature_penalty(features, frames)
        context = self.network.final_proj(self.network.hidden_states(features, frames, mask, keep, seed)[-1])
        targets, logits, hard, codes = self.network.quantised(features, noise, temperature, seed + 7)
        masked = mask * time_mask(frames, mask.shape[1])
        count = ops.maximum(masked.sum(), 1.0)
        losses, hits = self._compare(unit(context), unit(targets), codes, negatives)
        loss, accuracy = (losses * masked).sum() / count, (hits * masked).sum() / count
        probable = self._perplexity(ops.softmax(logits, -1), masked)
        total = loss + self.penalty * penalty + self.diversity * (self.codewords - probable) / self.codewords
        used = self._perplexity(hard, masked)
        return total * share, ops.stop_gradient(ops.stack((loss, accuracy, penalty, probable, used)))

    def _compare(self, context, targets, codes, negatives):
        """For every frame (B, T): the cross-entropy of its target among the negatives, 0 without any, and whether the target is the most similar."""
        similar = self.products(context, targets) / self.logit_temp
        right = (context * targets).sum(-1) / self.logit_temp
        wrong = negatives * (codes.expand_dims(1) != codes.expand_dims(2)).astype(ms.float32)
        others = (wrong * ops.exp(similar - right.expand_dims(2))).sum(-1)  # at most exp(2 / logit_temp) each: no overflow
        best = ops.select(wrong > 0, similar, ops.zeros_like(similar) - 1e9).max(-1)
        hits = ops.logical_and(right >= best, best > -1e8).astype(ms.float32)  # without negatives nothing is identified
        return ops.log(1.0 + others), hits

    def _perplexity(self, probabilities, masked):
        """Sum over the codebooks of the perplexity of the mean (B * T, codebooks, codewords) over the masked frames (B, T)."""
        mean = self.scale(probabilities, masked.reshape(-1, 1)).sum(0) / ops.maximum(masked.sum(), 1.0)
        return ops.exp(-(mean * ops.log(mean + 1e-7)).sum(-1)).sum()


class Contrastive(Pretraining):
    """wav2vec 2.0: the quantised frame of each masked one."""

    loader_type = ContrastiveLoader
    metrics = ("contrastive_loss", "contrastive_accuracy", "feature_penalty", "prob_perplexity", "code_perplexity")

    def __init__(self, config: PretrainConfig, train_set: WaveformSet, valid_set: WaveformSet):
        super().__init__(config, train_set, valid_set)
        model = config.model_conf
        self.codewords = model.codebooks * model.codewords
        self.collapsed = model.codebooks * max(1.5, 0.02 * model.codewords)  # the published run fell to about 15 of 640 and recovered

    def loss(self, network: nn.Cell) -> nn.Cell:
        """See Objective."""
        return ContrastiveLoss(network, self.config)

    def summary(self, row: Mapping[str, float]) -> str:
        """See Objective."""
        return f"{super().summary(row)} (perplexity of the codewords {row['valid_code_perplexity']:.1f} of {self.codewords})"

    def warning(self, row: Mapping[str, float]) -> str:
        """Collapse: nearly all frames have the same codeword."""
        if row.get("code_perplexity", self.collapsed) >= self.collapsed:
            return ""
        advice = "if this lasts, raise loss.diversity_weight or schedule.warmup_steps, or lower optim.learning_rate"
        return f"the quantiser uses few codewords: perplexity {row['code_perplexity']:.1f} of {self.codewords}: {advice}"
