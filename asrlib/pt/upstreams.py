"""Upstreams of s3prl that it does not have, registered at run time without changes to it.

ProgRE: progre_local, progre_base and progre_large. hubert_local and wav2vec2_local also take our packages: networks on log-mel frames, and any with
products in float16 (asrlib.pt.products).
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from asrlib.config.base import parse_yaml
from asrlib.config.families import pretrain_config_of
from asrlib.config.pretraining import PretrainConfig
from asrlib.convert.checkpoint_file import read_checkpoint
from asrlib.features.pitch import pitch
from asrlib.pt.models import make_network
from asrlib.pt.products import products_of
from asrlib.pt.weights import assign
from asrlib.utils.errors import UserError

SIZES = {"progre_base": (12, 768), "progre_large": (24, 1024)}  # layers, dimension


class PackagedUpstream(nn.Module):
    """A model in a package of our own (asrlib.pt.packages) with the interface of s3prl's upstreams.

    The hidden states are the input of the first layer and the outputs of the layers; of ProgRE, also the pitch part before them and the speaker part
    after its layer, so that a learned weighted sum can use all of them. s3prl expects a frame for every `hop` samples or part of them: the last
    frame of an utterance is repeated, independent of the rest of the batch. The model stays in evaluation mode.
    """

    def __init__(self, ckpt: str | Path):
        super().__init__()
        self.config, self.precision, weights = read_package(ckpt)
        self.model = assign(make_network(self.config), weights, ckpt)

    def train(self, mode: bool = True) -> "PackagedUpstream":
        """Keeps evaluation mode: ESPnet sets the frontend to training mode, in which dropout would change a frozen upstream's output."""
        return super().train(False)

    def get_downsample_rates(self, key: str) -> int:
        """Samples from one frame to the next."""
        return self.config.model_conf.hop

    def forward(self, wavs: list[Tensor]) -> dict[str, list[Tensor] | Tensor]:
        """wavs: (samples,) each, 16 kHz, in [-1, 1]. Waveforms shorter than a frame are zero-padded."""
        model, device = self.config.model_conf, wavs[0].device
        wanted = [-(-max(1, len(wav)) // model.hop) for wav in wavs]
        wavs = [nn.functional.pad(wav, (0, max(0, model.samples(1) - len(wav)))) for wav in wavs]
        lengths = torch.tensor([len(wav) for wav in wavs], device=device)
        frames = [model.frames(len(wav)) for wav in wavs]
        extra = (self._pitch(wavs, frames),) if self.config.uses_pitch else ()
        if model.normalize:
            wavs = [(wav - wav.mean()) / (wav.var(unbiased=False) + 1e-5).sqrt() for wav in wavs]
        with products_of(self.precision):
            states = self.model(pad_sequence(wavs, batch_first=True), lengths, *extra)
        rows = torch.arange(max(wanted), device=device)[None].clamp(max=torch.tensor(frames, device=device)[:, None] - 1)
        states = [state.gather(1, rows[..., None].expand(-1, -1, state.shape[-1])) for state in states]
        return {"hidden_states": states, "last_hidden_state": states[-1]}

    def _pitch(self, wavs: list[Tensor], frames: list[int]) -> Tensor:
        """(B, T), zero-padded."""
        curves = torch.zeros(len(wavs), max(frames), device=wavs[0].device)
        for row, wav in enumerate(wavs):
            curve = pitch(wav.detach().cpu().numpy(), self.config.model_conf.hop)[: frames[row]]
            curves[row, : len(curve)] = torch.from_numpy(np.ascontiguousarray(curve))
        return curves


def read_package(path: str | Path) -> tuple[PretrainConfig, str, dict]:
    """Configuration, precision of products and weights in a package of our own. UserError: the file is missing, damaged or of another model."""
    weights, facts = read_checkpoint(path)
    text = facts.get("config")
    if not isinstance(text, str):
        raise UserError(f"{path}: not a package of ProgRE: write one with python -m asrlib.bin.convert")
    return pretrain_config_of(parse_yaml(text, path), str(path)), facts.get("products", "float32"), weights


def progre_local(ckpt: str, refresh: bool = False, **kwargs) -> PackagedUpstream:
    """s3prl's entry: the model in a file."""
    return PackagedUpstream(ckpt)


def hubert_local(ckpt: str, *args, **kwargs) -> nn.Module:
    """s3prl's entry of this name, and a HuBERT on log-mel frames."""
    from s3prl.upstream.hubert.hubconf import hubert_local as theirs

    return PackagedUpstream(ckpt) if _is_package(ckpt) else theirs(ckpt, *args, **kwargs)


def wav2vec2_local(ckpt: str, *args, **kwargs) -> nn.Module:
    """s3prl's entry of this name, and a wav2vec 2.0 on log-mel frames."""
    from s3prl.upstream.wav2vec2.hubconf import wav2vec2_local as theirs

    return PackagedUpstream(ckpt) if _is_package(ckpt) else theirs(ckpt, *args, **kwargs)


def _is_package(path: str) -> bool:
    """Whether the file is a package of our own; only its head is read. s3prl names the faults of other files."""
    try:
        return isinstance(read_checkpoint(path).rest.get("config"), str)
    except UserError:
        return False


def _sized(name: str):
    def entry(ckpt: str | None = None, refresh: bool = False, **kwargs) -> PackagedUpstream:
        if ckpt is None:
            raise UserError(f"upstream {name} has no public checkpoint: give a local one in path_or_url (exp/TAG/pt/progre.pt)")
        upstream = PackagedUpstream(ckpt)
        found = upstream.config.model_conf.layers, upstream.config.model_conf.dim
        if found != SIZES[name]:
            raise UserError(f"{ckpt}: {found[0]} layers of {found[1]}, {name} has {SIZES[name][0]} of {SIZES[name][1]}: choose progre_local")
        return upstream

    entry.__name__, entry.__doc__ = name, f"s3prl's entry: a ProgRE of {SIZES[name][0]} layers of {SIZES[name][1]}."
    return entry


progre_base, progre_large = map(_sized, SIZES)


def register() -> None:
    """Registers the upstreams with s3prl in this process."""
    import s3prl.hub

    for entry in (progre_local, progre_base, progre_large, hubert_local, wav2vec2_local):
        setattr(s3prl.hub, entry.__name__, entry)
