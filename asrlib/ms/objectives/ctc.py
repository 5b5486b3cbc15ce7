"""Connectionist temporal classification (Graves et al. 2006): the loss, and validation by greedy decoding."""

import math
from collections.abc import Mapping
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from asrlib.config.ctc import TrainConfig
from asrlib.decode.greedy import collapse, tokens_to_text
from asrlib.ms.data.batches import BatchLoader, make_buckets
from asrlib.ms.data.dataset import Dataset
from asrlib.ms.objectives.base import Objective, Split
from asrlib.score.error_rate import count_errors
from asrlib.text.tokenizers import Tokenizer, load_tokenizer
from asrlib.utils.log import get_logger

log = get_logger(__name__)

BLANK_ADVICE = "usual in the first epochs; if this lasts, use a lower learning rate, warm-up or longer training, or check the transcripts"
VALID_BUCKETS = 3  # maximum: each needs a graph


def ctc_loss(logits, logit_lengths, labels, label_lengths, blank: int):
    """CTC loss of each utterance (B,): logits (T, B, V), labels (B, L) with any padding; natural logarithm, float32."""
    log_probs = ops.log_softmax(logits.astype(ms.float32), -1)
    return ops.ctc_loss(log_probs, labels, logit_lengths, label_lengths, blank=blank, reduction="none")[0]


class CtcLoss(nn.Cell):
    """(feats, feat_lengths, labels, label_lengths, weights (B,), share (), seed ()) -> the mean loss of the batch times share (), and the mean (1,).

    weights: of the utterances in the mean; 0 for rows that only fill up the batch. seed: int32, of dropout.
    """

    def __init__(self, network: nn.Cell, blank: int):
        super().__init__(auto_prefix=False)
        self.network, self.blank = network, blank

    def construct(self, feats, feat_lengths, labels, label_lengths, weights, share, seed):
        logits, lengths = self.network(feats, feat_lengths, seed)
        loss = (ctc_loss(logits, lengths, labels, label_lengths, self.blank) * weights).sum()
        return loss * share, ops.stop_gradient(loss).reshape(1)


class EvalStep(nn.Cell):
    """(feats, feat_lengths, labels, label_lengths) -> log-probabilities (B, T', V), their lengths (B,), losses (B,)."""

    def __init__(self, network: nn.Cell, blank: int):
        super().__init__(auto_prefix=False)
        self.network, self.blank = network, blank
        self.set_train(False)

    def construct(self, feats, feat_lengths, labels, label_lengths):
        logits, lengths = self.network(feats, feat_lengths)
        losses = ctc_loss(logits, lengths, labels, label_lengths, self.blank)
        return ops.log_softmax(logits.astype(ms.float32), -1).swapaxes(0, 1), lengths, losses


class Ctc(Objective):
    """CTC training on transcripts; checkpoints are ranked by word error rate."""

    score = "valid_wer"

    def __init__(self, config: TrainConfig, train_set: Dataset, valid_set: Dataset, tokenizer: Tokenizer):
        super().__init__(config, train_set, valid_set)
        self.tokenizer = tokenizer
        self.step: EvalStep | None = None

    @classmethod
    def from_dirs(cls, config: TrainConfig, train_dir: Path, valid_dir: Path, tokens: Path) -> "Ctc":
        """The objective for two dump directories and a token list. UserError: one is missing or damaged."""
        tokenizer = load_tokenizer(tokens)
        return cls(config, Dataset(train_dir, tokenizer, config, train=True), Dataset(valid_dir, tokenizer, config, train=False), tokenizer)

    @property
    def vocab_size(self) -> int:
        return len(self.tokenizer.tokens)

    def loaders(self) -> tuple[BatchLoader, BatchLoader]:
        """See Objective."""
        batch, seed = self.config.batch, self.config.trainer.seed
        buckets = make_buckets(self.train_set, batch.buckets, batch.batch_size, batch.batch_seconds)
        valid_buckets = make_buckets(self.valid_set, min(VALID_BUCKETS, batch.buckets), batch.batch_size, batch.batch_seconds)
        return (
            BatchLoader(self.train_set, buckets, seed, shuffle=True, prefetch=batch.prefetch, short_first=batch.sorta_grad),
            BatchLoader(self.valid_set, valid_buckets, seed, shuffle=False, prefetch=batch.prefetch),
        )

    def shapes(self) -> list[tuple[int, int]]:
        """Rows and frames."""
        return [(bucket.batch_size, bucket.frames) for loader in (self.loader, self.valid_loader) for bucket in loader.buckets]

    def loss(self, network: nn.Cell) -> nn.Cell:
        """See Objective."""
        return CtcLoss(network, self.tokenizer.blank)

    def validate(self, network: nn.Cell, split: Split, update: int) -> dict[str, float]:
        """valid_loss (mean over utterances), valid_wer and valid_cer (percent, pooled; nan without reference words), blank_ratio (of the frames)."""
        self.step = self.step or EvalStep(network, self.tokenizer.blank)
        network.set_train(False)
        texts = {item.utt: item.source.text or "" for item in self.valid_set.items}
        losses, blanks, frames, refs, hyps = [], 0, 0, [], []
        for batch in self.valid_parts(split):
            log_probs, lengths, batch_losses = (output.asnumpy() for output in self.step(*map(Tensor, batch.inputs()[:4])))
            losses += batch_losses[: len(batch.utts)].tolist()
            for utt, scores, length in zip(batch.utts, log_probs, lengths, strict=False):
                path = np.argmax(scores[:length], axis=-1)
                blanks, frames = blanks + int(np.sum(path == self.tokenizer.blank)), frames + int(length)
                refs.append(texts[utt])
                hyps.append(tokens_to_text(collapse(path, self.tokenizer.blank), self.tokenizer.tokens, self.tokenizer.separator))
        network.set_train(True)
        rates = {f"valid_{unit[0]}er": _rate(refs, hyps, unit) for unit in ("word", "char")}
        return {"valid_loss": float(np.mean(losses)), **rates, "blank_ratio": blanks / max(1, frames)}

    def summary(self, row: Mapping[str, float]) -> str:
        """See Objective."""
        rates = f"WER {row['valid_wer']:.2f} % CER {row['valid_cer']:.2f} %"
        return f"valid loss {row['valid_loss']:.3f} {rates} blank {100 * row['blank_ratio']:.1f} %"

    def warning(self, row: Mapping[str, float]) -> str:
        """Collapse: nearly all frames are blank."""
        if row.get("blank_ratio", 0.0) <= 0.99:
            return ""
        return f"blank collapse: {100 * row['blank_ratio']:.1f} % of the frames are blank, so the hypotheses are empty: {BLANK_ADVICE}"

    def save(self, exp_dir: Path) -> None:
        """tokens.txt."""
        self.tokenizer.save(exp_dir / "tokens.txt")


def _rate(refs: list[str], hyps: list[str], unit: str) -> float:
    rate = count_errors(refs, hyps, unit).error_rate
    return math.nan if rate is None else rate
