"""PyTorch twins of the MindSpore models: the same submodules in the same order."""

from torch import nn

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.pt.models.deepspeech2 import DeepSpeech2
from asrlib.pt.models.hubert import Hubert, Trunk
from asrlib.pt.models.jasper import Jasper
from asrlib.pt.models.progre import Progre
from asrlib.pt.models.wav2vec2 import Wav2vec2

UPSTREAMS = {"hubert": Hubert, "progre": Progre, "wav2vec2": Wav2vec2}


def make_model(config: TrainConfig, vocab_size: int) -> nn.Module:
    """The PyTorch twin of the network of a training configuration."""
    return (Jasper if config.model == "jasper" else DeepSpeech2)(config.model_conf, config.features.dim, vocab_size)


def make_upstream(config: PretrainConfig) -> Trunk:
    """The PyTorch twin of the network of a pretraining configuration."""
    return UPSTREAMS[config.model](config.model_conf)
