"""DeepSpeech2 (Amodei et al. 2016) as the MindSpore model zoo computes it, with padding masked everywhere."""

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from asrlib.config.models.deepspeech2 import DeepSpeech2Config
from asrlib.ms.layers.broadcast import Permute, RowScale
from asrlib.ms.layers.common import Tanh, time_mask, uniform
from asrlib.ms.layers.convolution import Conv2d
from asrlib.ms.layers.norms import LayerNorm, MaskedBatchNorm
from asrlib.ms.layers.recurrent import Lookahead, Recurrent


class DeepSpeech2(nn.Cell):
    """Two convolutions over frequency and time, recurrent layers with summed directions, a projection to the labels.

    input_dim: bins of the spectrogram (161); vocab_size: labels with the blank (29).
    """

    def __init__(self, config: DeepSpeech2Config, input_dim: int, vocab_size: int, seed: int = 1):
        super().__init__()
        rng = np.random.default_rng(seed)
        channels = config.conv_channels
        self.conv1 = _conv(1, channels, (41, 11), (2, 2), config.init, rng)
        self.bn1 = MaskedBatchNorm(channels)
        self.conv2 = _conv(channels, channels, (21, 11), (2, 1), config.init, rng)
        self.bn2 = MaskedBatchNorm(channels)
        rnn_input = channels * (((input_dim - 1) // 2 + 1 - 1) // 2 + 1)
        sizes = [rnn_input] + [config.hidden_size] * (config.hidden_layers - 1)
        self.rnns = nn.CellList([Recurrent(config.rnn_type, n, config.hidden_size, config.bidirectional, rng) for n in sizes])
        self.norms = nn.CellList([LayerNorm(config.hidden_size) for _ in sizes[1:]]) if config.rnn_norm == "layer" else None
        self.lookahead = None if config.bidirectional else Lookahead(config.hidden_size, config.lookahead_context, rng)
        hidden = config.hidden_size
        bound = 1 / math.sqrt(hidden) if config.init == "kaiming" else 1 / hidden
        self.fc = nn.Dense(hidden, vocab_size, has_bias=False, weight_init=uniform(rng, bound, (vocab_size, hidden)))
        self.tanh, self.mask, self.to_time_first = Tanh(), RowScale(), Permute(1, 0, 3, 2)

    def construct(self, feats, feat_lengths, seed=0):
        """feats: (B, T, F) features, feat_lengths: (B,) int32 frames -> logits (T', B, V), lengths (B,) int32; T' = (T - 1) // 2 + 1.

        seed: of dropout, of which there is none.
        """
        outputs = self.layer_outputs(feats, feat_lengths)
        return outputs[-1], output_lengths(feat_lengths)

    def layer_outputs(self, feats, feat_lengths):
        """Outputs of every layer for the layer comparison: two convolutions (B, C, F', T'), recurrent layers (T', B, H), logits (T', B, V)."""
        lengths = output_lengths(feat_lengths)
        steps = (feats.shape[1] - 1) // 2 + 1
        mask = time_mask(lengths, steps)  # (B, T')
        x = self.mask(feats, time_mask(feat_lengths, feats.shape[1]).expand_dims(2)).expand_dims(3)  # (B, T, F, 1)
        x = self.mask(self.tanh(self._normalised(self.bn1, self.conv1(x), mask)), mask.expand_dims(2))  # (B, T', F', C)
        outputs = [x.transpose(0, 3, 2, 1)]
        x = self.mask(self.tanh(self._normalised(self.bn2, self.conv2(x), mask)), mask.expand_dims(2))
        outputs.append(x.transpose(0, 3, 2, 1))
        x = self.to_time_first(x).reshape(steps, x.shape[0], -1)  # (T', B, C * F')
        mask3 = mask.swapaxes(0, 1).expand_dims(2)
        for i, rnn in enumerate(self.rnns):
            if self.norms is not None and i > 0:
                x = self.norms[i - 1](x)
            x = self.mask(rnn(x, lengths), mask3)
            outputs.append(x)
        if self.lookahead is not None:
            x = ops.clamp(self.lookahead(x, mask3), 0.0, 20.0)
            outputs.append(x)
        outputs.append(self.fc(x).astype(ms.float32))
        return tuple(outputs)

    def _normalised(self, norm, x, mask):
        """Batch normalisation of x (B, T', F', C) over time and frequency without the padding; mask (B, T')."""
        repeated = ops.matmul(mask.reshape(-1, 1), ops.ones((1, x.shape[2]), ms.float32))  # a product needs no index table
        return norm(x.reshape(1, -1, x.shape[3]), repeated.reshape(1, -1, 1)).reshape(x.shape)


def output_lengths(feat_lengths: Tensor) -> Tensor:
    """Frames after the strided convolution: (T - 1) // 2 + 1."""
    return ((feat_lengths - 1) // 2 + 1).astype(ms.int32)


def _conv(inputs: int, outputs: int, size: tuple[int, int], stride: tuple[int, int], init: str, rng: np.random.Generator) -> Conv2d:
    """Convolution over (frequency, time) without bias, "same" padding; published weights are N(0, sqrt(2 / (area * outputs)))."""
    shape, area = (outputs, inputs, *size), size[0] * size[1]
    if init == "kaiming":
        weight = uniform(rng, 1 / math.sqrt(area * inputs), shape)
    else:
        weight = Tensor(rng.normal(0, math.sqrt(2 / (area * outputs)), shape).astype(np.float32))
    return Conv2d(weight, stride)


Network = DeepSpeech2
