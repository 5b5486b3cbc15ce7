"""PyTorch twin of asrlib.ms.models.wav2vec2: the trunk, and the pretraining heads as parameters for other toolkits."""

import torch
from torch import nn

from asrlib.config.models.wav2vec2 import Wav2vec2Config
from asrlib.pt.models.hubert import Trunk


class GumbelQuantizer(nn.Module):
    def __init__(self, config: Wav2vec2Config):
        super().__init__()
        entries = config.codebooks * config.codewords
        self.vars = nn.Parameter(torch.rand(1, entries, config.code_dim // config.codebooks))
        self.weight_proj = nn.Linear(config.conv_channels, entries)


class Wav2vec2(Trunk):
    def __init__(self, config: Wav2vec2Config):
        super().__init__(config)
        self.quantizer = GumbelQuantizer(config)
        self.project_q = nn.Linear(config.code_dim, config.final_dim)
        self.final_proj = nn.Linear(config.dim, config.final_dim)


Network = Wav2vec2
