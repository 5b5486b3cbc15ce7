"""HuBERT (Hsu et al. 2021), base and large, and the trunk that it shares with wav2vec 2.0.

Padding is masked everywhere: an utterance has the same outputs alone and in a padded batch. Submodules and parameters are named as in fairseq,
except for normalisations and convolutions (asrlib.convert.rules). Activations are (batch, time, channels): convolutions over time are products of
patches with a matrix, MindSpore's fastest path on CPUs.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.config.models.hubert import HubertConfig
from asrlib.config.pretraining import LOG_MEL, TrunkConfig
from asrlib.ms.layers.attention import Attention
from asrlib.ms.layers.broadcast import BiasAdd, ColumnNorm, ColumnScale, Permute, RowScale
from asrlib.ms.layers.common import Dropout, Gelu, Linear, time_mask
from asrlib.ms.layers.convolution import GroupedConv, TimeConv
from asrlib.ms.layers.logmel import LogMel
from asrlib.ms.layers.norms import LayerNorm, TimeNorm


class ConvLayer(nn.Cell):
    """Convolution, padded with `before` frames at both ends, normalisation and GELU; norm: "group" over time, "layer" over channels, "none"."""

    def __init__(
        self, inputs: int, outputs: int, width: int, stride: int, norm: str, rng: np.random.Generator, average: bool, bias: bool, before: int = 0
    ):
        super().__init__()
        self.width, self.stride, self.before, self.mode = width, stride, before, norm
        self.conv = TimeConv(inputs, outputs, width, stride, rng, average, bias, before)
        self.norm = TimeNorm(outputs) if norm == "group" else LayerNorm(outputs) if norm == "layer" else None
        self.gelu = Gelu()

    def construct(self, x, lengths):
        """x (B, T, I), lengths (B,) frames -> (B, T', O), their lengths."""
        lengths = ops.maximum((lengths + 2 * self.before - self.width) // self.stride + 1, 0).astype(ms.int32)
        x = self.conv(x)
        if self.mode == "group":
            x = self.norm(x, lengths)
        elif self.mode == "layer":
            x = self.norm(x)
        return self.gelu(x), lengths


class FeatureExtractor(nn.Cell):
    """The convolutions from waveform to frames of 20 ms."""

    def __init__(self, config: TrunkConfig, rng: np.random.Generator):
        super().__init__()
        layers, inputs = [], 1
        for i, (width, stride) in enumerate(zip(config.conv_kernels, config.conv_strides, strict=True)):
            norm = "layer" if config.extractor_mode == "layer" else "group" if i == 0 else "none"
            average = i > 1 and config.conv_init == "average"
            layers.append(ConvLayer(inputs, config.conv_channels, width, stride, norm, rng, average, config.conv_bias))
            inputs = config.conv_channels
        self.conv_layers = nn.CellList(layers)

    def construct(self, wavs, lengths):
        """wavs (B, samples), lengths (B,) int32 -> (B, T, C), lengths (B,)."""
        x = wavs.expand_dims(2)
        for layer in self.conv_layers:
            x, lengths = layer(x, lengths)
        return x, lengths


class LogMelExtractor(nn.Cell):
    """Log-mel frames of 10 ms, each bin normalised over the utterance, and the convolutions that lower their rate (Fast-HuBERT, arXiv 2309.13860).

    The convolutions are HuBERT's, with GELU; Fast-HuBERT's have gates (GLU), and its bins are normalised over the corpus.
    """

    def __init__(self, config: TrunkConfig, rng: np.random.Generator):
        super().__init__()
        layers, inputs = [], config.num_mels
        for width, stride in zip(config.conv_kernels, config.conv_strides, strict=True):
            norm = "layer" if config.extractor_mode == "layer" else "none"
            layers.append(ConvLayer(inputs, config.conv_channels, width, stride, norm, rng, False, config.conv_bias, width // 2))
            inputs = config.conv_channels
        self.log_mel, self.norm, self.conv_layers = LogMel(config.num_mels), TimeNorm(config.num_mels), nn.CellList(layers)
        self.scale = RowScale()

    def construct(self, wavs, lengths):
        """As FeatureExtractor; 0 in the padding, which the convolutions see."""
        width, stride = LOG_MEL
        lengths = ops.maximum((lengths - width) // stride + 1, 0).astype(ms.int32)
        x = self.norm(self.log_mel(wavs), lengths)
        for layer in self.conv_layers:
            x, lengths = layer(x, lengths)
            x = self.scale(x, time_mask(lengths, x.shape[1]).expand_dims(2))
        return x, lengths


EXTRACTORS = {"waveform": FeatureExtractor, "logmel": LogMelExtractor}


class PositionalConv(nn.Cell):
    """Convolutional position embedding with weight normalisation over all but time (wav2vec 2.0, section 2)."""

    def __init__(self, dim: int, width: int, groups: int, rng: np.random.Generator):
        super().__init__()
        v = rng.normal(0, math.sqrt(4 / (width * dim)), (dim, dim // groups, width)).astype(np.float32)
        self.weight_v = Parameter(Tensor(v), name="weight_v")
        self.weight_g = Parameter(Tensor(np.sqrt((v.astype(np.float64) ** 2).sum((0, 1), keepdims=True)).astype(np.float32)), name="weight_g")
        self.bias = Parameter(Tensor(np.zeros(dim, np.float32)), name="bias")
        self.width, self.groups = width, groups
        self.conv, self.gelu, self.add = GroupedConv(), Gelu(), BiasAdd()
        self.norm, self.scale, self.turn = ColumnNorm(), ColumnScale(), Permute(0, 3, 2, 1)

    def construct(self, x):
        """(B, T, D) -> (B, T, D): frame t sees t - width / 2 .. t + (width - 1) / 2."""
        dim, inputs, width = self.weight_v.shape
        weight = self.scale(self.weight_v, self.weight_g.reshape(-1) / self.norm(self.weight_v))
        weight = self.turn(weight.reshape(self.groups, dim // self.groups, inputs, width))
        before = width // 2
        left = ops.zeros((x.shape[0], before, dim), x.dtype)
        right = ops.zeros((x.shape[0], width - 1 - before, dim), x.dtype)
        return self.gelu(self.add(self.conv(ops.concat((left, x, right), 1), weight), self.bias))


class SelfAttention(nn.Cell):
    """Multi-head self-attention (Vaswani et al. 2017) over the valid frames."""

    def __init__(self, config: TrunkConfig, rng: np.random.Generator):
        super().__init__()
        dim = config.dim
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (Linear(dim, dim, rng) for _ in range(4))
        self.heads, self.scale = config.heads, (dim // config.heads) ** -0.5
        self.attention, self.swap_axes = Attention(config.attention_dropout), Permute(0, 2, 1, 3)

    def construct(self, x, frames, seed):
        batch, steps, dim = x.shape
        q, k, v = self._split(self.q_proj(x) * self.scale), self._split(self.k_proj(x)), self._split(self.v_proj(x))
        return self.out_proj(self.swap_axes(self.attention(q, k, v, frames, seed)).reshape(batch, steps, dim))

    def _split(self, x):
        return self.swap_axes(x.reshape(x.shape[0], x.shape[1], self.heads, -1))


class EncoderLayer(nn.Cell):
    """A transformer layer with post-norm (base) or pre-norm (large)."""

    def __init__(self, config: TrunkConfig, rng: np.random.Generator):
        super().__init__()
        self.self_attn = SelfAttention(config, rng)
        self.self_attn_layer_norm = LayerNorm(config.dim)
        self.fc1, self.fc2 = Linear(config.dim, config.ffn_dim, rng), Linear(config.ffn_dim, config.dim, rng)
        self.final_layer_norm = LayerNorm(config.dim)
        self.gelu, self.before = Gelu(), config.layer_norm_first
        self.dropout1, self.dropout2, self.dropout3 = Dropout(config.dropout), Dropout(config.activation_dropout), Dropout(config.dropout)

    def construct(self, x, frames, seed):
        """x (B, T, D), frames (B,) int32, seed () int32: uses seed .. seed + 3."""
        if self.before:
            x = x + self.dropout1(self.self_attn(self.self_attn_layer_norm(x), frames, seed), seed + 1)
            return x + self._feed_forward(self.final_layer_norm(x), seed)
        x = self.self_attn_layer_norm(x + self.dropout1(self.self_attn(x, frames, seed), seed + 1))
        return self.final_layer_norm(x + self._feed_forward(x, seed))

    def _feed_forward(self, x, seed):
        return self.dropout3(self.fc2(self.dropout2(self.gelu(self.fc1(x)), seed + 2)), seed + 3)


class Encoder(nn.Cell):
    """Positions and transformer layers."""

    def __init__(self, config: TrunkConfig, rng: np.random.Generator):
        super().__init__()
        self.pos_conv = PositionalConv(config.dim, config.conv_pos, config.conv_pos_groups, rng)
        self.layer_norm = LayerNorm(config.dim)
        self.layers = nn.CellList([EncoderLayer(config, rng) for _ in range(config.layers)])
        self.dropout, self.before = Dropout(config.dropout), config.layer_norm_first

    def start(self, x, seed):
        """The input of the first layer."""
        x = x + self.pos_conv(x)
        if not self.before:
            x = self.layer_norm(x)
        return self.dropout(x, seed)


class Trunk(nn.Cell):
    """Convolutions and transformer without the heads of pretraining, shared by HuBERT, ProgRE and wav2vec 2.0.

    construct returns the hidden states: the input of the first layer and the output of every layer, (B, T, D) each; for pre-norm models the last one
    is normalised, as in fairseq's encoder.
    """

    def __init__(self, config: TrunkConfig, rng: np.random.Generator):
        super().__init__()
        self.config = config
        self.feature_extractor = EXTRACTORS[config.frontend](config, rng)
        self.layer_norm = LayerNorm(config.conv_channels)
        self.post_extract_proj = Linear(config.conv_channels, config.dim, rng)
        self.mask_emb = Parameter(Tensor(rng.uniform(0, 1, config.dim).astype(np.float32)), name="mask_emb")
        self.encoder = Encoder(config, rng)
        self.dropout_input, self.scale = Dropout(config.dropout_input), RowScale()

    def construct(self, wavs, lengths):
        """wavs (B, samples) float32 (normalised if the configuration says so), zero-padded, lengths (B,) int32 samples."""
        features, frames = self.feature_extractor(wavs, lengths)
        return self.hidden_states(features, frames, None, None, Tensor(0, ms.int32))

    def hidden_states(self, features, frames, mask, keep, seed):
        """features (B, T, C) of the convolutions, frames (B,), mask (B, T) 1 where masked or None, keep (layers,) 0 for a skipped layer or None."""
        valid = time_mask(frames, features.shape[1])
        x = self.embed(features, mask, valid, seed)
        x = self.encoder.start(x, seed + 1)
        states = (x,)
        for i, layer in enumerate(self.encoder.layers):
            y = layer(x, frames, seed + 8 * (i + 1))
            x = y if keep is None else x + keep[i] * (y - x)
            states += (x,)
        if self.encoder.before:
            states = states[:-1] + (self.encoder.layer_norm(states[-1]),)
        return states

    def embed(self, features, mask, valid, seed):
        """The masked input of the encoder, 0 in the padding."""
        x = self.dropout_input(self.post_extract_proj(self.layer_norm(features)), seed)
        return self.scale(self.masked(x, mask), valid.expand_dims(2))

    def masked(self, x, mask):
        """x (B, T, D) with the learned vector in its masked frames; mask (B, T) or None."""
        if mask is None:
            return x
        vectors = ops.matmul(mask.reshape(-1, 1), self.mask_emb.reshape(1, -1)).reshape(x.shape)
        return self.scale(x, (1.0 - mask).expand_dims(2)) + vectors


class Hubert(Trunk):
    """HuBERT: the trunk, and embeddings of the clusters, with which masked frames are compared."""

    def __init__(self, config: HubertConfig, seed: int = 1):
        rng = np.random.default_rng(seed)
        super().__init__(config, rng)
        self.final_proj = Linear(config.dim, config.final_dim, rng)
        labels = rng.uniform(0, 1, (config.num_classes, config.final_dim)).astype(np.float32)
        self.label_embs_concat = Parameter(Tensor(labels), name="label_embs_concat")


Network = Hubert
