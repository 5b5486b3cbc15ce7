"""PyTorch twin of asrlib.ms.models.progre: the same submodules in the same order."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrlib.config.models.progre import ProgreConfig
from asrlib.pt.models.hubert import Hubert


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (B, T, C) over batch and time that ignores padding."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        inside = mask[..., 0] > 0
        y[inside] = super().forward(x[inside])
        return y


class PitchConv(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 5, padding=2, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.norm = MaskedBatchNorm(outputs)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2) + self.bias, mask)) * mask


class PitchEncoder(nn.Module):
    """pitch (B, T), 0 where unvoiced -> (B, T, D)."""

    def __init__(self, config: ProgreConfig):
        super().__init__()
        channels = config.pitch_channels
        self.convs = nn.ModuleList(PitchConv(inputs, channels) for inputs in (1, channels, channels))
        self.gru = nn.GRU(channels, config.pitch_hidden, bidirectional=True)
        self.proj = nn.Linear(2 * config.pitch_hidden, config.dim)

    def forward(self, pitch: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        x = pitch[..., None] * mask
        for layer in self.convs:
            x = layer(x, mask)
        packed = pack_padded_sequence(x.transpose(0, 1), frames.cpu(), enforce_sorted=False)
        y, _ = pad_packed_sequence(self.gru(packed)[0], total_length=x.shape[1])
        return self.proj(y.transpose(0, 1)) * mask


class SpeakerModule(nn.Module):
    """The speaker part of every frame."""

    def __init__(self, config: ProgreConfig):
        super().__init__()
        dim, bottleneck = config.dim, config.speaker_bottleneck
        self.linear1, self.linear2 = nn.Linear(dim, bottleneck, bias=False), nn.Linear(bottleneck, dim, bias=False)
        self.proj, self.norm = nn.Linear(2 * dim, dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        weights = torch.softmax(self.linear2(torch.tanh(self.linear1(x))) * mask + (1.0 - mask) * -1000.0, 1)
        mean = weights * x
        deviation = torch.sqrt((weights * x * x - mean * mean).clamp(min=0.0) + 1e-5)
        return self.norm(self.proj(torch.cat((mean, deviation), -1)))


class Progre(Hubert):
    """Returns the pitch part, the input of the first layer and the outputs of the layers, with the speaker part after layer `speaker_layer`."""

    def __init__(self, config: ProgreConfig):
        super().__init__(config)
        self.pitch_encoder, self.pitch_norm = PitchEncoder(config), nn.LayerNorm(config.dim)
        self.speaker = SpeakerModule(config)
        self.spk_linear = nn.Linear(config.dim, config.num_speakers) if config.num_speakers else None

    def forward(self, wavs: Tensor, lengths: Tensor, pitch: Tensor) -> list[Tensor]:
        features, frames = self.feature_extractor(wavs, lengths)
        return self.all_states(features, frames, pitch)

    def all_states(self, features: Tensor, frames: Tensor, pitch: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """All states, in the order of `forward`."""
        valid = (torch.arange(features.shape[1], device=features.device) < frames[:, None]).to(features.dtype)
        frame_mask = valid[..., None]
        pitch_part = self.pitch_encoder(pitch, frames, frame_mask)
        x = self.dropout_input(self.pitch_norm(self.post_extract_proj(self.layer_norm(features)) - pitch_part))
        if mask is not None:
            x = torch.where(mask[..., None] > 0, self.mask_emb, x)
        bias = ((1.0 - valid) * -1e9)[:, None, None, :]
        x = self.encoder.start(x * frame_mask)
        states = [pitch_part, x]
        for i, layer in enumerate(self.encoder.layers):
            x = layer(x, bias)
            states.append(x)
            if i == self.config.speaker_layer:
                part = self.speaker(x, frame_mask) * frame_mask
                states.append(part)
                x = x - part
        if self.encoder.before:
            states[-1] = self.encoder.layer_norm(states[-1])
        return states

    def speaker_logits(self, part: Tensor, frames: Tensor) -> Tensor:
        return self.spk_linear(part.sum(1) / frames.clamp(min=1)[:, None])


Network = Progre
