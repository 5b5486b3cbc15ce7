"""Recurrent layers that ignore padding, and the look-ahead convolution of unidirectional models."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops

from asrlib.ms.kernels import kernel
from asrlib.ms.layers.broadcast import ColumnScale, RowScale
from asrlib.ms.layers.common import tanh, uniform

MANY_UNITS = 512
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class Recurrent(nn.Cell):
    """One recurrent layer, (T, B, input) -> (T, B, hidden); two directions are summed (DeepSpeech2, section 3.1), or concatenated with `concat`.

    The parameters have PyTorch's names, shapes and gate order. Padding has no influence: the backward direction reads each utterance
    reversed within its own length, since the operators on CPUs take no lengths.
    """

    def __init__(self, kind: str, input_size: int, hidden_size: int, bidirectional: bool, rng: np.random.Generator, concat: bool = False):
        super().__init__()
        self.kind, self.bidirectional, self.concat = kind, bidirectional, concat
        rows, bound = GATES[kind] * hidden_size, 1 / math.sqrt(hidden_size)
        self.forward_cell = _Direction(kind, input_size, hidden_size)
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size), "bias_ih": (rows,), "bias_hh": (rows,)}

        def parameter(name, suffix):
            return Parameter(uniform(rng, bound, shapes[name]), name=f"{name}_l0{suffix}")

        self.weight_ih_l0, self.weight_hh_l0 = parameter("weight_ih", ""), parameter("weight_hh", "")
        self.bias_ih_l0, self.bias_hh_l0 = parameter("bias_ih", ""), parameter("bias_hh", "")
        if bidirectional:
            self.weight_ih_l0_reverse, self.weight_hh_l0_reverse = parameter("weight_ih", "_reverse"), parameter("weight_hh", "_reverse")
            self.bias_ih_l0_reverse, self.bias_hh_l0_reverse = parameter("bias_ih", "_reverse"), parameter("bias_hh", "_reverse")
            self.reverse = ops.ReverseSequence(seq_dim=0, batch_dim=1)

    def construct(self, x, lengths):
        y = self.forward_cell(x, self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
        if self.bidirectional:
            backward = self.forward_cell(
                self.reverse(x, lengths),
                self.weight_ih_l0_reverse,
                self.weight_hh_l0_reverse,
                self.bias_ih_l0_reverse,
                self.bias_hh_l0_reverse,
            )
            backward = self.reverse(backward, lengths)
            y = ops.concat((y, backward), -1) if self.concat else y + backward
        return y


class _Direction(nn.Cell):
    """One direction of a recurrent layer with zero initial state; holds no parameters.

    A compiled kernel loops over the frames. Without it, GRU and RNN are unrolled, which takes minutes to compile for long utterances.
    MindSpore's own LSTM is faster for few units; for many units it takes a third more memory in training.
    """

    def __init__(self, kind: str, input_size: int, hidden_size: int):
        super().__init__()
        self.kind, self.hidden_size = kind, hidden_size
        self.project = ops.MatMul(transpose_b=True)
        self.kernel = _over_time(kind) if kind != "lstm" or hidden_size >= MANY_UNITS else None
        if kind == "lstm":
            self.lstm = ops.LSTM(input_size, hidden_size, 1, True, False, 0.0)

    def construct(self, x, w_ih, w_hh, b_ih, b_hh):
        steps, batch, inputs = x.shape
        if self.kind == "lstm" and self.kernel is None:
            state = ops.zeros((1, batch, self.hidden_size), ms.float32)
            # the operator's packed weight: input weights, recurrent weights, one bias; gates i f g o
            weight = ops.concat((w_ih.reshape(-1, 1, 1), w_hh.reshape(-1, 1, 1), (b_ih + b_hh).reshape(-1, 1, 1)))
            return self.lstm(x, state, state, weight)[0]
        gates = self.project(x.reshape(-1, inputs), w_ih).reshape(steps, batch, -1)  # all frames at once
        return self._unrolled(gates + b_ih, w_hh, b_hh) if self.kernel is None else self.kernel(gates, w_hh, b_ih, b_hh)[0]

    def _unrolled(self, gates, w_hh, b_hh):
        h = ops.zeros((gates.shape[1], self.hidden_size), ms.float32)
        outputs = []
        for t in range(gates.shape[0]):
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


def _over_time(kind: str) -> ops.Custom | None:
    """(gates (T, B, G H), weight (G H, H), two biases (G H,)) -> (y (T, B, H), values saved for the gradient): kernels/recurrent.cc, or None."""
    saved = {"lstm": 5, "gru": 4, "rnn": 1}[kind]  # saved values per unit and frame
    weight_gradient = ops.MatMul(transpose_a=True)

    def infer(gates, weight, input_bias, recurrent_bias):  # of shapes or of types
        return ([*gates[:2], weight[1]], [*gates[:2], saved * weight[1]]) if isinstance(gates, (list, tuple)) else (gates, gates)

    def infer_gradient(dy, y, saved, weight):
        if not isinstance(dy, (list, tuple)):
            return dy, dy, dy
        gates = [*dy[:2], weight[0]]
        return gates, gates, [2, weight[0]]

    gradient = kernel(f"{kind.capitalize()}LayerGrad", infer_gradient)

    def bprop(gates, weight, input_bias, recurrent_bias, out, dout):
        y = out[0]
        of_gates, of_next, of_biases = gradient(dout[0], y, out[1], weight)
        rows, hidden = weight.shape
        of_weight = weight_gradient(of_next.reshape(-1, rows), y.reshape(-1, hidden))
        return of_gates, of_weight, of_biases[0], of_biases[1]

    return kernel(f"{kind.capitalize()}Layer", infer, bprop)


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
