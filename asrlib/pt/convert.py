"""Conversion of an experiment's MindSpore weights to its PyTorch twin."""

from pathlib import Path

import torch

from asrlib.config.ctc import TrainConfig
from asrlib.convert.rules import to_pytorch
from asrlib.pt.models import make_network
from asrlib.pt.weights import shapes
from asrlib.utils.arrays import Arrays, save_arrays


def from_mindspore(config: TrainConfig, vocab_size: int, arrays: Arrays, source: Path, target: Path) -> tuple[int, int]:
    """Writes the converted arrays of SOURCE to TARGET; returns the numbers of tensors and parameters. UserError: as in convert.rules.converted."""
    with torch.device("meta"):  # only the shapes are needed
        model = make_network(config, vocab_size)
    arrays = to_pytorch(arrays, shapes(model), str(source))
    save_arrays(target, arrays, {"source": source.name})
    return len(arrays), sum(p.numel() for p in model.parameters())
