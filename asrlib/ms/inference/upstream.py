"""Hidden states of a pretrained model, for clustering and comparison."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn

from asrlib.config.families import load_pretrain_config
from asrlib.config.pretraining import RATE, PretrainConfig, TrunkConfig
from asrlib.ms.checkpoint.weights import assign_arrays, load_arrays, require_complete
from asrlib.ms.device import use_device
from asrlib.ms.models import make_network
from asrlib.utils.errors import UserError


class Upstream:
    """A pretrained network with its configuration."""

    def __init__(self, network: nn.Cell, config: PretrainConfig):
        self.network, self.config = network.set_train(False), config

    @classmethod
    def load(cls, exp_dir: Path, device: str = "CPU") -> "Upstream":
        """The model of a pretraining experiment: config.yaml and model.safetensors. UserError: one is missing or mismatched."""
        weights = exp_dir / "model.safetensors"
        if not weights.is_file():
            raise UserError(f"{weights} is missing: run stage 3 (pretraining)")
        use_device(device)
        config = load_pretrain_config(exp_dir / "config.yaml")
        network = make_network(config)
        require_complete(assign_arrays(list(network.get_parameters()), load_arrays(weights)), weights)
        return cls(network, config)

    def states(self, wavs: np.ndarray, lengths: np.ndarray, pitch: np.ndarray | None = None) -> list[np.ndarray]:
        """wavs (B, samples), normalised if the model requires it, lengths (B,), pitch (B, T) for ProgRE -> hidden states (B, T, D), 0 in padding."""
        extra = () if pitch is None else (Tensor(pitch.astype(np.float32)),)
        states = [x.asnumpy() for x in self.network(Tensor(wavs), Tensor(lengths.astype(np.int32)), *extra)]
        for row, length in enumerate(lengths.tolist()):
            for state in states:
                state[row, max(0, self.config.model_conf.frames(length)) :] = 0
        return states

    def hidden_states(self, audio: np.ndarray, where: str = "audio") -> list[np.ndarray]:
        """audio (samples,), 16 kHz, in [-1, 1] -> hidden states (frames, D): the input of the first layer and the output of each.

        ProgRE: with the pitch part before them and the speaker part behind its layer. The waveform is normalised if the model requires it.
        UserError: less than one frame; the message names `where`.
        """
        from asrlib.features.pitch import pitch

        model = self.config.model_conf
        count = model.frames(len(audio))
        if count < 1:
            raise UserError(f"{where}: {len(audio)} samples are shorter than one frame")
        padded = np.zeros((1, _padded(len(audio))), np.float32)
        curve = None
        if self.config.uses_pitch:  # of the waveform as it was recorded
            curve = np.zeros((1, model.frames(padded.shape[1])), np.float32)
            curve[0, :count] = pitch(audio, model.hop)[:count]
        padded[0, : len(audio)] = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-5) if model.normalize else audio
        return [state[0, :count] for state in self.states(padded, np.array([len(audio)]), curve)]


@dataclass(frozen=True)
class LayerFrames:
    """A hidden state of a model as frames to cluster (asrlib.features.targets.Frames). layer: 0: input of the first layer, N: output of layer N."""

    exp_dir: Path
    layer: int

    @property
    def dim(self) -> int:
        """Values of a frame."""
        return self._model.dim

    @property
    def hop(self) -> int:
        """See Frames."""
        return self._model.hop

    @property
    def _model(self) -> TrunkConfig:
        return load_pretrain_config(self.exp_dir / "config.yaml").model_conf

    def load(self):
        upstream = Upstream.load(self.exp_dir)
        model = upstream.config.model_conf
        if not 0 <= self.layer <= model.layers:
            raise UserError(f"--layer {self.layer}: {self.exp_dir} has the hidden states 0 to {model.layers}")
        place = model.state_place(self.layer)
        return lambda audio, where: upstream.hidden_states(audio, where)[place]


def _padded(samples: int) -> int:
    """Padded length in samples: 1, 2, 4 ... seconds, since every new length is compiled."""
    seconds = 1
    while seconds * RATE < samples:
        seconds *= 2
    return seconds * RATE
