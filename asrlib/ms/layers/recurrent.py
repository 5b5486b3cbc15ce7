"""Recurrent layers that ignore padding, and the look-ahead convolution of unidirectional models."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops

from asrlib.ms.kernels import kernel
from asrlib.ms.layers.broadcast import ColumnScale, RowScale
from asrlib.ms.layers.common import tanh, uniform

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
SAVED = {"lstm": 5, "gru": 4, "rnn": 1}  # values that the kernel keeps per unit and frame


class Recurrent(nn.Cell):
    """One recurrent layer, (T, B, input) -> (T, B, hidden); two directions are summed (DeepSpeech2, section 3.1), or concatenated with `concat`.

    The parameters have PyTorch's names, shapes and gate order. Padding has no influence on the frames inside an utterance: the backward direction
    begins at its last frame. Outputs in the padding are undefined.
    """

    def __init__(self, kind: str, input_size: int, hidden_size: int, bidirectional: bool, rng: np.random.Generator, concat: bool = False):
        super().__init__()
        self.kind, self.bidirectional, self.concat = kind, bidirectional, concat
        rows, bound = GATES[kind] * hidden_size, 1 / math.sqrt(hidden_size)
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size), "bias_ih": (rows,), "bias_hh": (rows,)}

        def parameter(name, suffix):
            return Parameter(uniform(rng, bound, shapes[name]), name=f"{name}_l0{suffix}")

        self.weight_ih_l0, self.weight_hh_l0 = parameter("weight_ih", ""), parameter("weight_hh", "")
        self.bias_ih_l0, self.bias_hh_l0 = parameter("bias_ih", ""), parameter("bias_hh", "")
        if bidirectional:
            self.weight_ih_l0_reverse, self.weight_hh_l0_reverse = parameter("weight_ih", "_reverse"), parameter("weight_hh", "_reverse")
            self.bias_ih_l0_reverse, self.bias_hh_l0_reverse = parameter("bias_ih", "_reverse"), parameter("bias_hh", "_reverse")
            self.reverse = ops.ReverseSequence(seq_dim=0, batch_dim=1)
        self.project, self.kernel = ops.MatMul(transpose_b=True), _over_time(kind, 2 if bidirectional else 1)
        self.plain = None if self.kernel is not None else PlainDirection(kind, input_size, hidden_size)

    def construct(self, x, lengths):
        forward = (self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
        if not self.bidirectional:
            return self.plain(x, *forward) if self.kernel is None else self.kernel(self._gates(x, forward[0]), *forward[1:], lengths)[0]
        backward = (self.weight_ih_l0_reverse, self.weight_hh_l0_reverse, self.bias_ih_l0_reverse, self.bias_hh_l0_reverse)
        if self.kernel is None:
            y, y_backward = self.plain(x, *forward), self.reverse(self.plain(self.reverse(x, lengths), *backward), lengths)
        else:
            gates, gates_backward = self._gates(x, forward[0]), self._gates(x, backward[0])
            y, _, y_backward, _ = self.kernel(gates, *forward[1:], gates_backward, *backward[1:], lengths)
        return ops.concat((y, y_backward), -1) if self.concat else y + y_backward

    def _gates(self, x, weight):
        """The input's share of the gates for all frames at once."""
        return self.project(x.reshape(-1, x.shape[2]), weight).reshape(x.shape[0], x.shape[1], -1)


class PlainDirection(nn.Cell):
    """One direction of a recurrent layer with zero initial state, without a kernel; holds no parameters.

    GRU and RNN are unrolled, which takes minutes to compile for long utterances.
    """

    def __init__(self, kind: str, input_size: int, hidden_size: int):
        super().__init__()
        self.kind, self.hidden_size = kind, hidden_size
        self.project = ops.MatMul(transpose_b=True)
        if kind == "lstm":
            self.lstm = ops.LSTM(input_size, hidden_size, 1, True, False, 0.0)

    def construct(self, x, w_ih, w_hh, b_ih, b_hh):
        steps, batch, inputs = x.shape
        if self.kind == "lstm":
            state = ops.zeros((1, batch, self.hidden_size), ms.float32)
            # the operator's packed weight: input weights, recurrent weights, one bias; gates i f g o
            weight = ops.concat((w_ih.reshape(-1, 1, 1), w_hh.reshape(-1, 1, 1), (b_ih + b_hh).reshape(-1, 1, 1)))
            return self.lstm(x, state, state, weight)[0]
        gates = self.project(x.reshape(-1, inputs), w_ih).reshape(steps, batch, -1) + b_ih
        h = ops.zeros((batch, self.hidden_size), ms.float32)
        outputs = []
        for t in range(steps):
            recurrent = self.project(h, w_hh) + b_hh
            if self.kind == "rnn":
                h = tanh(gates[t] + recurrent)
            else:
                r_x, z_x, n_x = ops.split(gates[t], self.hidden_size, axis=-1)
                r_h, z_h, n_h = ops.split(recurrent, self.hidden_size, axis=-1)
                z = ops.sigmoid(z_x + z_h)
                h = (1 - z) * tanh(n_x + ops.sigmoid(r_x + r_h) * n_h) + z * h
            outputs.append(h)
        return ops.stack(outputs)


def _over_time(kind: str, directions: int) -> ops.Custom | None:
    """The kernel of a layer (kernels/recurrent.cc), or None.

    For each direction gates (T, B, G H), weight (G H, H), two biases (G H,); after them lengths (B,) int32 -> for each direction y (T, B, H) and the
    values saved for the gradient.
    """
    name, weight_gradient = f"{kind.capitalize()}Layer{'s' * (directions - 1)}", ops.MatMul(transpose_a=True)
    results, recurrent = (4, 3) if kind == "gru" else (3, 0)  # of the gradient, for each direction; which is that of the recurrent share

    def infer(gates, weight, *_):  # of shapes or of types
        one = ([*gates[:2], weight[1]], [*gates[:2], SAVED[kind] * weight[1]]) if isinstance(gates, (list, tuple)) else (gates, gates)
        return one * directions

    def infer_gradient(dy, y, saved, weight, *_):
        if not isinstance(dy, (list, tuple)):
            return (dy,) * results * directions
        gates = [*dy[:2], weight[0]]
        return (gates, dy, [2, weight[0]], gates)[:results] * directions

    gradient = kernel(f"{name}Grad", infer_gradient)

    def of_inputs(weight, of_gates, outputs_before, of_biases, of_recurrent):
        of_weight = weight_gradient(of_recurrent.reshape(-1, weight.shape[0]), outputs_before.reshape(-1, weight.shape[1]))
        return of_gates, of_weight, of_biases[0], of_biases[1]

    def of_one(gates, weight, input_bias, recurrent_bias, lengths, out, dout):
        found = gradient(dout[0], out[0], out[1], weight, lengths)
        return of_inputs(weight, found[0], found[1], found[2], found[recurrent]) + (ops.zeros_like(lengths),)

    def of_both(gates, weight, input_bias, recurrent_bias, gates_2, weight_2, input_bias_2, recurrent_bias_2, lengths, out, dout):
        found = gradient(dout[0], out[0], out[1], weight, dout[2], out[2], out[3], weight_2, lengths)
        first = of_inputs(weight, found[0], found[1], found[2], found[recurrent])
        second = of_inputs(weight_2, found[results], found[results + 1], found[results + 2], found[results + recurrent])
        return first + second + (ops.zeros_like(lengths),)

    return kernel(name, infer, of_one if directions == 1 else of_both)


class Lookahead(nn.Cell):
    """Row convolution: every output frame sees `context` future frames, per feature (Amodei et al. 2016, section 3.7). (T, B, D) -> (T, B, D).

    The depthwise convolution is a sum of shifted products; weight (D, 1, context + 1), as a PyTorch Conv1d with groups=D.
    """

    def __init__(self, dim: int, context: int, rng: np.random.Generator):
        super().__init__()
        self.context = context
        self.weight = Parameter(uniform(rng, 1 / math.sqrt(context + 1), (dim, 1, context + 1)), name="weight")
        self.mask, self.scale = RowScale(), ColumnScale()

    def construct(self, x, mask):
        steps = x.shape[0]
        x = ops.concat((self.mask(x, mask), ops.zeros((self.context, x.shape[1], x.shape[2]), x.dtype)))
        y = self.scale(x[:steps], self.weight[:, 0, 0])
        for k in range(1, self.context + 1):
            y = y + self.scale(x[k : k + steps], self.weight[:, 0, k])
        return y
