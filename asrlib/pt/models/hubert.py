"""PyTorch twin of asrlib.ms.models.hubert: the same submodules in the same order, with plain PyTorch layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrlib.config.models.hubert import HubertConfig
from asrlib.config.pretraining import LOG_MEL, TrunkConfig
from asrlib.features.filterbank import FLOOR, matrices


class ConvLayer(nn.Module):
    """Convolution, padded with `before` frames at both ends, normalisation and GELU on (B, C, T)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm: str, bias: bool, before: int = 0):
        super().__init__()
        self.kernel, self.stride, self.before, self.mode = kernel, stride, before, norm
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, before, bias=bias)
        self.norm = nn.GroupNorm(outputs, outputs) if norm == "group" else nn.LayerNorm(outputs) if norm == "layer" else None

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = ((lengths + 2 * self.before - self.kernel) // self.stride + 1).clamp(min=0)
        x = self.conv(x)
        if self.mode == "layer":
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        elif self.mode == "group":
            x = self._over_time(x, lengths)
        return F.gelu(x), lengths

    def _over_time(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Normalises each utterance over its own frames; 0 in the padding."""
        if bool((lengths == x.shape[2]).all()):
            return self.norm(x)
        rows = [F.pad(self.norm(row[None, :, :n]), (0, x.shape[2] - n)) for row, n in zip(x, lengths.tolist(), strict=True)]
        return torch.cat(rows)


class FeatureExtractor(nn.Module):
    """(B, samples) -> (B, T, C), frames (B,)."""

    def __init__(self, config: TrunkConfig):
        super().__init__()
        layers, inputs = [], 1
        for i, (kernel, stride) in enumerate(zip(config.conv_kernels, config.conv_strides, strict=True)):
            norm = "layer" if config.extractor_mode == "layer" else "group" if i == 0 else "none"
            layers.append(ConvLayer(inputs, config.conv_channels, kernel, stride, norm, config.conv_bias))
            inputs = config.conv_channels
        self.conv_layers = nn.ModuleList(layers)

    def forward(self, wavs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = wavs[:, None]
        for layer in self.conv_layers:
            x, lengths = layer(x, lengths)
        return x.transpose(1, 2), lengths


class LogMel(nn.Module):
    """(B, samples) -> (B, T, mels): Kaldi's log-mel filter bank, in float32 also under autocast: the logarithm of rounded energies means nothing."""

    def __init__(self, num_mels: int):
        super().__init__()
        for name, matrix in zip(("spectrum", "mels"), matrices(num_mels), strict=True):
            self.register_buffer(name, torch.tensor(matrix), persistent=False)

    @torch.no_grad()
    def forward(self, wavs: Tensor) -> Tensor:
        with torch.autocast(wavs.device.type, enabled=False):
            energies = (wavs.float().unfold(1, *LOG_MEL) @ self.spectrum).square() @ self.mels
            return energies.clamp(min=FLOOR).log()


class BinNorm(nn.Module):
    """Every channel of x (B, C, T) normalised over the valid frames of its utterance; 0 in the padding. Like GroupNorm, also for a single frame."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        valid, count = frame_mask(lengths, x), lengths.clamp(min=1)[:, None, None]
        x = x - (x * valid).sum(2, keepdim=True) / count
        deviation = ((x.square() * valid).sum(2, keepdim=True) / count + 1e-5).sqrt()
        return (x / deviation * self.weight[:, None] + self.bias[:, None]) * valid


class LogMelExtractor(nn.Module):
    """(B, samples) -> (B, T, C), frames (B,): log-mel frames of 10 ms and the convolutions that lower their rate."""

    def __init__(self, config: TrunkConfig):
        super().__init__()
        layers, inputs = [], config.num_mels
        for kernel, stride in zip(config.conv_kernels, config.conv_strides, strict=True):
            norm = "layer" if config.extractor_mode == "layer" else "none"
            layers.append(ConvLayer(inputs, config.conv_channels, kernel, stride, norm, config.conv_bias, kernel // 2))
            inputs = config.conv_channels
        self.log_mel, self.norm, self.conv_layers = LogMel(config.num_mels), BinNorm(config.num_mels), nn.ModuleList(layers)

    def forward(self, wavs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        width, stride = LOG_MEL
        lengths = ((lengths - width) // stride + 1).clamp(min=0)
        x = self.norm(self.log_mel(wavs).transpose(1, 2), lengths)
        for layer in self.conv_layers:
            x, lengths = layer(x, lengths)
            x = x * frame_mask(lengths, x)
        return x.transpose(1, 2), lengths


def frame_mask(lengths: Tensor, x: Tensor) -> Tensor:
    """(B, 1, T) for x (B, C, T): 1 inside the utterance, 0 in its padding."""
    return (torch.arange(x.shape[2], device=x.device) < lengths[:, None]).to(x.dtype)[:, None]


EXTRACTORS = {"waveform": FeatureExtractor, "logmel": LogMelExtractor}


class PositionalConv(nn.Module):
    def __init__(self, dim: int, width: int, groups: int):
        super().__init__()
        self.weight_v = nn.Parameter(torch.randn(dim, dim // groups, width) * (4 / (width * dim)) ** 0.5)
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.width, self.groups = width, groups

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=self.width // 2, groups=self.groups)
        return F.gelu(y[..., : x.shape[1]]).transpose(1, 2)


class SelfAttention(nn.Module):
    def __init__(self, config: TrunkConfig):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(config.dim, config.dim) for _ in range(4))
        self.heads, self.dropout = config.heads, config.attention_dropout

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, steps, dim = x.shape
        q, k, v = (proj(x).view(batch, steps, self.heads, -1).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj))
        y = F.scaled_dot_product_attention(q, k, v, bias, self.dropout if self.training else 0.0)
        return self.out_proj(y.transpose(1, 2).reshape(batch, steps, dim))


class EncoderLayer(nn.Module):
    def __init__(self, config: TrunkConfig):
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.dim)
        self.fc1, self.fc2 = nn.Linear(config.dim, config.ffn_dim), nn.Linear(config.ffn_dim, config.dim)
        self.final_layer_norm = nn.LayerNorm(config.dim)
        self.before = config.layer_norm_first
        self.dropout, self.activation_dropout = nn.Dropout(config.dropout), nn.Dropout(config.activation_dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        if self.before:
            x = x + self.dropout(self.self_attn(self.self_attn_layer_norm(x), bias))
            return x + self._feed_forward(self.final_layer_norm(x))
        x = self.self_attn_layer_norm(x + self.dropout(self.self_attn(x, bias)))
        return self.final_layer_norm(x + self._feed_forward(x))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.fc2(self.activation_dropout(F.gelu(self.fc1(x)))))


class Encoder(nn.Module):
    def __init__(self, config: TrunkConfig):
        super().__init__()
        self.pos_conv = PositionalConv(config.dim, config.conv_pos, config.conv_pos_groups)
        self.layer_norm = nn.LayerNorm(config.dim)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.dropout, self.before = nn.Dropout(config.dropout), config.layer_norm_first

    def start(self, x: Tensor) -> Tensor:
        x = x + self.pos_conv(x)
        return self.dropout(x if self.before else self.layer_norm(x))


class Trunk(nn.Module):
    """Hidden states of padded waveforms: the input of the first layer and the output of every layer."""

    def __init__(self, config: TrunkConfig):
        super().__init__()
        self.config = config
        self.feature_extractor = EXTRACTORS[config.frontend](config)
        self.layer_norm = nn.LayerNorm(config.conv_channels)
        self.post_extract_proj = nn.Linear(config.conv_channels, config.dim)
        self.mask_emb = nn.Parameter(torch.rand(config.dim))
        self.encoder = Encoder(config)
        self.dropout_input = nn.Dropout(config.dropout_input)

    def forward(self, wavs: Tensor, lengths: Tensor) -> list[Tensor]:
        """wavs (B, samples), zero-padded, lengths (B,) samples -> (B, T, D) each."""
        features, frames = self.feature_extractor(wavs, lengths)
        return self.hidden_states(features, frames)

    def hidden_states(self, features: Tensor, frames: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """mask (B, T): 1 where masked."""
        valid = (torch.arange(features.shape[1], device=features.device) < frames[:, None]).to(features.dtype)
        x = self.encoder.start(self.embed(features, mask, valid))
        bias = ((1.0 - valid) * -1e9)[:, None, None, :]
        states = [x]
        for layer in self.encoder.layers:
            x = layer(x, bias)
            states.append(x)
        if self.encoder.before:
            states[-1] = self.encoder.layer_norm(states[-1])
        return states

    def embed(self, features: Tensor, mask: Tensor | None, valid: Tensor) -> Tensor:
        """The masked input of the encoder, 0 in the padding."""
        x = self.dropout_input(self.post_extract_proj(self.layer_norm(features)))
        if mask is not None:
            x = torch.where(mask[..., None] > 0, self.mask_emb, x)
        return x * valid[..., None]


class Hubert(Trunk):
    """The trunk with the heads of its pretraining."""

    def __init__(self, config: HubertConfig):
        super().__init__(config)
        self.final_proj = nn.Linear(config.dim, config.final_dim)
        self.label_embs_concat = nn.Parameter(torch.rand(config.num_classes, config.final_dim))


Network = Hubert
