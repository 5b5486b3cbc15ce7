"""Validation: the loss and the greedy word and character error rates of a data set."""

import math

import numpy as np
from mindspore import Tensor, nn

from asrlib.decode.greedy import collapse, tokens_to_text
from asrlib.ms.data.batches import BatchLoader
from asrlib.ms.training.step import EvalStep
from asrlib.score.error_rate import count_errors
from asrlib.text.tokenizers import Tokenizer


class Validator:
    """Scores a network on every utterance of a loader's data set."""

    def __init__(self, loader: BatchLoader, tokenizer: Tokenizer):
        self.loader, self.tokenizer = loader, tokenizer
        self.texts = {item.utt: item.source.text or "" for item in loader.dataset.items}
        self.step: EvalStep | None = None

    def run(self, network: nn.Cell) -> dict[str, float]:
        """valid_loss (mean over utterances), valid_wer and valid_cer (percent, pooled; nan without reference words), blank_ratio (of the frames)."""
        self.step = self.step or EvalStep(network, self.tokenizer.blank)
        network.set_train(False)
        losses, blanks, frames, refs, hyps = [], 0, 0, [], []
        for batch in self.loader.epoch(0):
            log_probs, lengths, batch_losses = (output.asnumpy() for output in self.step(*map(Tensor, batch.inputs()[:4])))
            losses += batch_losses[: len(batch.utts)].tolist()
            for utt, scores, length in zip(batch.utts, log_probs, lengths, strict=False):
                path = np.argmax(scores[:length], axis=-1)
                blanks, frames = blanks + int(np.sum(path == self.tokenizer.blank)), frames + int(length)
                refs.append(self.texts[utt])
                hyps.append(tokens_to_text(collapse(path, self.tokenizer.blank), self.tokenizer.tokens, self.tokenizer.separator))
        network.set_train(True)
        return {
            "valid_loss": float(np.mean(losses)),
            "valid_wer": _rate(refs, hyps, "word"),
            "valid_cer": _rate(refs, hyps, "char"),
            "blank_ratio": blanks / max(1, frames),
        }


def _rate(refs: list[str], hyps: list[str], unit: str) -> float:
    rate = count_errors(refs, hyps, unit).error_rate
    return math.nan if rate is None else rate
