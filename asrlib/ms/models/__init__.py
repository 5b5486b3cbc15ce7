"""Model families: makes the network of a configuration. Each module defines its own `Network`."""

from importlib import import_module

from mindspore import nn

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig


def make_network(config: TrainConfig | PretrainConfig, vocab_size: int = 0) -> nn.Cell:
    """The network of a configuration with weights drawn from its seed. vocab_size: labels with the blank, of a CTC model."""
    network = import_module(f"{__name__}.{config.model}").Network
    shape = (config.features.dim, vocab_size) if isinstance(config, TrainConfig) else ()
    return network(config.model_conf, *shape, config.trainer.seed)
