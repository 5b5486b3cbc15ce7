"""Hidden states of the PyTorch twin of a pretrained model."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from asrlib.config.pretraining import PretrainConfig
from asrlib.features.pitch import pitch
from asrlib.pt.device import activate, choose
from asrlib.pt.models import make_network
from asrlib.pt.weights import assign, read_weights
from asrlib.utils.errors import UserError


class Upstream:
    """The counterpart of asrlib.ms.inference.upstream.Upstream."""

    def __init__(self, network: nn.Module, config: PretrainConfig, device: str):
        self.network, self.config, self.device = network, config, device

    @classmethod
    def load(cls, weights: Path, config: PretrainConfig, device: str = "cpu") -> "Upstream":
        """device: a kind, auto, cpu, cuda or npu. UserError: the file is missing or of another model."""
        place = choose(device).names()[0]
        activate(place)
        return cls(assign(make_network(config), read_weights(weights), weights).to(place), config, place)

    def hidden_states(self, audio: np.ndarray, where: str = "audio") -> list[np.ndarray]:
        """audio (samples,), 16 kHz, in [-1, 1] -> hidden states (frames, D). UserError: less than one frame; the message names `where`."""
        model = self.config.model_conf
        count = model.frames(len(audio))
        if count < 1:
            raise UserError(f"{where}: {len(audio)} samples are shorter than one frame")
        samples = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-5) if model.normalize else audio
        inputs = [torch.from_numpy(samples[None].astype(np.float32)), torch.tensor([len(audio)])]
        if self.config.uses_pitch:  # of the waveform as it was recorded
            inputs.append(torch.from_numpy(np.ascontiguousarray(pitch(audio)[None, :count], np.float32)))
        with torch.inference_mode():
            states = self.network(*(tensor.to(self.device) for tensor in inputs))
        return [state[0, :count].cpu().numpy() for state in states]
