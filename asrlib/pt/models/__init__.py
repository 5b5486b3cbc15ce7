"""PyTorch twins of the MindSpore models: the same submodules in the same order. Each module names its own `Network`."""

from importlib import import_module

import torch
from torch import nn

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig


def make_network(config: TrainConfig | PretrainConfig, vocab_size: int = 0) -> nn.Module:
    """The twin of the network that a configuration asks for. vocab_size: labels with the blank, of a CTC model."""
    network = import_module(f"{__name__}.{config.model}").Network
    shape = (config.features.dim, vocab_size) if isinstance(config, TrainConfig) else ()
    return network(config.model_conf, *shape)


def count_parameters(config: TrainConfig | PretrainConfig, vocab_size: int = 1000) -> int:
    """Parameters of a network, without memory for their values."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make_network(config, vocab_size).parameters())
