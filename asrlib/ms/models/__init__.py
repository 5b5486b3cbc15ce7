"""Model families: the network that a configuration asks for."""

from mindspore import nn

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.models.deepspeech2 import DeepSpeech2
from asrlib.ms.models.hubert import Hubert
from asrlib.ms.models.jasper import Jasper
from asrlib.ms.models.progre import Progre
from asrlib.ms.models.wav2vec2 import Wav2vec2

FAMILIES = {"deepspeech2": DeepSpeech2, "jasper": Jasper}
UPSTREAMS = {"hubert": Hubert, "progre": Progre, "wav2vec2": Wav2vec2}


def make_model(config: TrainConfig, vocab_size: int) -> nn.Cell:
    """The network of a training configuration with weights drawn from its seed."""
    return FAMILIES[config.model](config.model_conf, config.features.dim, vocab_size, config.trainer.seed)


def make_upstream(config: PretrainConfig) -> nn.Cell:
    """The network of a pretraining configuration with weights drawn from its seed."""
    return UPSTREAMS[config.model](config.model_conf, config.trainer.seed)
