"""PyTorch twins of the MindSpore models: the same submodules in the same order."""

from torch import nn

from asrlib.pt.models.deepspeech2 import DeepSpeech2
from asrlib.pt.models.hubert import Hubert
from asrlib.pt.models.jasper import Jasper
from asrlib.pt.models.progre import Progre
from asrlib.utils.experiment import TrainConfig
from asrlib.utils.pretraining import PretrainConfig


def make_model(config: TrainConfig, vocab_size: int) -> nn.Module:
    """The twin of the network that a training configuration asks for."""
    return (Jasper if config.model == "jasper" else DeepSpeech2)(config.model_conf, config.features.dim, vocab_size)


def make_upstream(config: PretrainConfig) -> Hubert:
    """The twin of the network that a pretraining configuration asks for."""
    return (Progre if config.model == "progre" else Hubert)(config.model_conf)
