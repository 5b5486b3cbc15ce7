"""ProgRE: HuBERT's trunk with a pitch part subtracted before the transformer and a speaker part subtracted after one of its layers.

Shapes and order follow the published inference code (pitch encoder before the mask, speaker module after layer 3). Its training is not published.
Ours is HuBERT's masked prediction plus the cross-entropy of a linear speaker classifier on the mean of the speaker part over the utterance, which
makes that part depend on the speaker. The pitch part is trained only through the trunk.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.config.models.progre import ProgreConfig
from asrlib.ms.layers.broadcast import BiasAdd, RowScale, plus_column
from asrlib.ms.layers.common import Linear, Tanh, time_mask
from asrlib.ms.layers.convolution import TimeConv
from asrlib.ms.layers.norms import LayerNorm, MaskedBatchNorm
from asrlib.ms.layers.recurrent import Recurrent
from asrlib.ms.models.hubert import Hubert


class PitchConv(nn.Cell):
    """Convolution of 5 frames, batch normalisation, ReLU; 0 in the padding."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator):
        super().__init__()
        self.conv = TimeConv(inputs, outputs, 5, 1, rng)
        self.bias = Parameter(Tensor(np.zeros(outputs, np.float32)), name="bias")
        self.norm, self.add, self.scale = MaskedBatchNorm(outputs), BiasAdd(), RowScale()

    def construct(self, x, mask):
        edge = ops.zeros((x.shape[0], 2, x.shape[2]), x.dtype)
        return self.scale(ops.relu(self.norm(self.add(self.conv(ops.concat((edge, x, edge), 1)), self.bias), mask)), mask)


class PitchEncoder(nn.Cell):
    """pitch (B, T), 0 where unvoiced -> (B, T, D)."""

    def __init__(self, config: ProgreConfig, rng: np.random.Generator):
        super().__init__()
        channels = config.pitch_channels
        self.convs = nn.CellList([PitchConv(inputs, channels, rng) for inputs in (1, channels, channels)])
        self.gru = Recurrent("gru", channels, config.pitch_hidden, True, rng, concat=True)
        self.proj, self.scale = Linear(2 * config.pitch_hidden, config.dim, rng), RowScale()

    def construct(self, pitch, frames, mask):
        """mask (B, T, 1)."""
        x = pitch.expand_dims(2) * mask
        for layer in self.convs:
            x = layer(x, mask)
        return self.scale(self.proj(self.gru(x.swapaxes(0, 1), frames).swapaxes(0, 1)), mask)


class SpeakerModule(nn.Cell):
    """The speaker part of every frame: attention over time, weighted mean and deviation, projection (attentive statistics, not summed over time)."""

    def __init__(self, config: ProgreConfig, rng: np.random.Generator):
        super().__init__()
        dim, bottleneck = config.dim, config.speaker_bottleneck
        self.linear1 = Linear(dim, bottleneck, rng, bias=False, deviation=1 / math.sqrt(dim))
        self.linear2 = Linear(bottleneck, dim, rng, bias=False, deviation=1 / math.sqrt(bottleneck))
        self.proj = Linear(2 * dim, dim, rng)
        self.norm, self.tanh, self.scale = LayerNorm(dim), Tanh(), RowScale()

    def construct(self, x, mask):
        """x (B, T, D), mask (B, T, 1) -> (B, T, D)."""
        weights = ops.softmax(plus_column(self.scale(self.linear2(self.tanh(self.linear1(x))), mask), (1.0 - mask) * -1000.0), 1)
        mean = weights * x
        deviation = ops.sqrt(ops.maximum(weights * x * x - mean * mean, 0.0) + 1e-5)
        return self.norm(self.proj(ops.concat((mean, deviation), -1)))


class Progre(Hubert):
    """construct returns the pitch part, the input of the first layer and the outputs of all layers, with the speaker part after `speaker_layer`."""

    def __init__(self, config: ProgreConfig, seed: int = 1):
        super().__init__(config, seed)
        rng = np.random.default_rng((seed, 1))
        self.pitch_encoder, self.pitch_norm = PitchEncoder(config, rng), LayerNorm(config.dim)
        self.speaker = SpeakerModule(config, rng)
        self.spk_linear = Linear(config.dim, config.num_speakers, rng) if config.num_speakers else None
        self.speaker_layer = config.speaker_layer

    def construct(self, wavs, lengths, pitch):
        """wavs (B, samples), lengths (B,), pitch (B, T) as asrlib.features.pitch gives it, zero-padded."""
        features, frames = self.feature_extractor(wavs, lengths)
        return self.all_states(features, frames, None, None, Tensor(0, ms.int32), pitch)

    def all_states(self, features, frames, mask, keep, seed, pitch):
        """The states in the order of construct."""
        valid = time_mask(frames, features.shape[1])
        frame_mask = valid.expand_dims(2)
        pitch_part = self.pitch_encoder(pitch, frames, frame_mask)
        x = self.post_extract_proj(self.layer_norm(features))
        x = self.dropout_input(self.pitch_norm(x - pitch_part), seed)
        x = self.encoder.start(self.scale(self.masked(x, mask), frame_mask), seed + 1)
        states = (pitch_part, x)
        for i, layer in enumerate(self.encoder.layers):
            y = layer(x, frames, seed + 8 * (i + 1))
            x = y if keep is None else x + keep[i] * (y - x)
            states += (x,)
            if i == self.speaker_layer:
                part = self.scale(self.speaker(x, frame_mask), frame_mask)
                states += (part,)
                x = x - part
        if self.encoder.before:
            states = states[:-1] + (self.encoder.layer_norm(states[-1]),)
        return states

    def speaker_logits(self, part, frames):
        """(B, speakers) from the mean of the speaker part (B, T, D) over each utterance."""
        count = ops.maximum(frames, 1).astype(ms.float32).expand_dims(1)
        return self.spk_linear(part.sum(1) / count)


Network = Progre
