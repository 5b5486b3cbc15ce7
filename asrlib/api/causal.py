"""A unidirectional DeepSpeech2 as a recording arrives, in NumPy: it needs neither framework, and computes the weights of both.

Every layer keeps the frames that its next output needs, so that any division into parts gives the outputs of the whole recording.
"""

from collections.abc import Callable

import numpy as np

from asrlib.config.models.deepspeech2 import DeepSpeech2Config
from asrlib.utils.arrays import Arrays

EPSILON = 1e-5  # of the normalisations
CONTEXT = 5  # frames that a convolution over 11 frames sees on either side


class Windows:
    """Frames (n, ...) in overlapping windows (m, ..., size), `stride` frames apart, with zeros before the first frame and after the last."""

    def __init__(self, size: int, stride: int, before: int, after: int):
        self.size, self.stride, self.before, self.after = size, stride, before, after
        self.kept: np.ndarray | None = None

    def __call__(self, frames: np.ndarray, last: bool) -> np.ndarray:
        if self.kept is None:
            self.kept = np.zeros((self.before, *frames.shape[1:]), np.float32)
        ends = [np.zeros((self.after, *frames.shape[1:]), np.float32)] if last else []
        kept = np.concatenate([self.kept, frames, *ends])
        count = max(0, (len(kept) - self.size) // self.stride + 1)
        self.kept = kept[count * self.stride :]
        if not count:
            return np.empty((0, *frames.shape[1:], self.size), np.float32)
        return np.lib.stride_tricks.sliding_window_view(kept, self.size, 0)[: count * self.stride : self.stride]


class CausalDeepSpeech2:
    """Features (n, F) of a recording, a few at a time -> log-probabilities (m, V) of the output frames that they complete."""

    def __init__(self, config: DeepSpeech2Config, arrays: Arrays):
        """arrays: weights with the names of the PyTorch twin."""
        self.arrays = arrays
        self.windows = [Windows(11, stride, CONTEXT, CONTEXT) for stride in (2, 1)]
        self.layers = [Recurrent(config.rnn_type, *(arrays[f"rnns.{i}.{name}_l0"] for name in NAMES)) for i in range(config.hidden_layers)]
        self.norms = config.rnn_norm == "layer"
        self.ahead = Windows(config.lookahead_context + 1, 1, 0, config.lookahead_context)

    def __call__(self, feats: np.ndarray, last: bool = False) -> np.ndarray:
        """last: the recording ends with these, of which there may be none."""
        x = feats[:, None]  # (n, C, F)
        for number in (1, 2):
            x = self._convolved(x, number, last)
        x = x.reshape(len(x), x.shape[1] * x.shape[2])
        for number, layer in enumerate(self.layers):
            if self.norms and number:
                x = self._layer_norm(x, number - 1)
            x = layer(x)
        x = np.clip((self.ahead(x, last) * self.arrays["lookahead.weight"][:, 0]).sum(-1), 0.0, 20.0)
        logits = x @ self.arrays["fc.weight"].T
        return logits - np.logaddexp.reduce(logits, -1, keepdims=True)

    def _convolved(self, x: np.ndarray, number: int, last: bool) -> np.ndarray:
        """x (n, C, F) -> (m, C', F'): convolution over every second bin, normalisation, tanh."""
        weight = self.arrays[f"conv{number}.weight"]  # (C', C, bins, frames)
        outputs, _, bins, _ = weight.shape
        windows = np.pad(self.windows[number - 1](x, last), ((0, 0), (0, 0), (bins // 2, bins // 2), (0, 0)))
        patches = np.lib.stride_tricks.sliding_window_view(windows, bins, 2)[:, :, ::2].transpose(0, 2, 1, 4, 3)  # (m, F', C, bins, frames)
        y = patches.reshape(patches.shape[0] * patches.shape[1], weight[0].size) @ weight.reshape(outputs, -1).T
        mean, variance, gain, offset = (self.arrays[f"bn{number}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        y = np.tanh((y - mean) / np.sqrt(variance + np.float32(EPSILON)) * gain + offset)
        return y.reshape(*patches.shape[:2], outputs).transpose(0, 2, 1)

    def _layer_norm(self, x: np.ndarray, number: int) -> np.ndarray:
        scale = np.sqrt(x.var(-1, keepdims=True) + np.float32(EPSILON))
        return (x - x.mean(-1, keepdims=True)) / scale * self.arrays[f"norms.{number}.weight"] + self.arrays[f"norms.{number}.bias"]


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Recurrent:
    """A recurrent layer with its state; weights and order of the gates as in PyTorch."""

    def __init__(self, kind: str, weight_ih: np.ndarray, weight_hh: np.ndarray, bias_ih: np.ndarray, bias_hh: np.ndarray):
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = weight_ih, weight_hh, bias_ih, bias_hh
        self.h = self.c = np.zeros(weight_hh.shape[1], np.float32)
        steps: dict[str, Callable[[np.ndarray], None]] = {"lstm": self._lstm, "gru": self._gru, "rnn": self._rnn}
        self.step = steps[kind]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n, inputs) -> (n, hidden)"""
        outputs = np.empty((len(x), len(self.h)), np.float32)
        for row, gates in enumerate(x @ self.weight_ih.T + self.bias_ih):
            self.step(gates)
            outputs[row] = self.h
        return outputs

    def _lstm(self, gates: np.ndarray) -> None:
        i, f, g, o = np.split(gates + self.weight_hh @ self.h + self.bias_hh, 4)
        self.c = _sigmoid(f) * self.c + _sigmoid(i) * np.tanh(g)
        self.h = _sigmoid(o) * np.tanh(self.c)

    def _gru(self, gates: np.ndarray) -> None:
        r, z, n = np.split(gates, 3)
        r_h, z_h, n_h = np.split(self.weight_hh @ self.h + self.bias_hh, 3)
        z = _sigmoid(z + z_h)
        self.h = (1 - z) * np.tanh(n + _sigmoid(r + r_h) * n_h) + z * self.h

    def _rnn(self, gates: np.ndarray) -> None:
        self.h = np.tanh(gates + self.weight_hh @ self.h + self.bias_hh)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (np.tanh(0.5 * x) + 1)
