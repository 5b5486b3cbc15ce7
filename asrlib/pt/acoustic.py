"""The PyTorch twin of a model trained from scratch as a function from features to log-probabilities."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asrlib.config.ctc import TrainConfig
from asrlib.pt.device import activate, choose
from asrlib.pt.models import make_network
from asrlib.pt.weights import assign, read_weights

Run = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class LogProbs(nn.Module):
    """(feats (B, T, F), lengths (B,)) -> log-probabilities (B, T', V), their lengths (B,)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        logits, counts = self.network(feats, lengths)
        return logits.log_softmax(-1).transpose(0, 1), counts


def read_twin(weights: Path, config: TrainConfig, vocab_size: int) -> LogProbs:
    """The twin with its weights, in evaluation mode. UserError: the file is missing or of another model."""
    return LogProbs(assign(make_network(config, vocab_size), read_weights(weights), weights)).eval()


def load_twin(weights: Path, config: TrainConfig, vocab_size: int, device: str = "cpu") -> Run:
    """The twin as a function of arrays. device: a kind, auto, cpu, cuda or npu. UserError: as read_twin and choose."""
    place = choose(device).names()[0]
    activate(place)
    model = read_twin(weights, config, vocab_size).to(place)

    def run(feats: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            scores, counts = model(torch.from_numpy(feats).to(place), torch.from_numpy(lengths).long().to(place))
        return scores.cpu().numpy(), counts.cpu().numpy()

    return run
