"""Layers shared by the models: masks, recurrent layers that ignore padding, look-ahead convolution, layer and batch normalisation."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.ms.kernels import kernel

MANY_UNITS = 512
MOMENTUM = 0.1  # of batch normalisation's moving statistics, as PyTorch counts it
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def time_mask(lengths: Tensor, steps: int, dtype: ms.dtype = ms.float32) -> Tensor:
    """(B,) lengths -> (B, steps): 1 inside the utterance, 0 in its padding."""
    return (ops.arange(0, steps).astype(ms.int32).expand_dims(0) < lengths.expand_dims(1)).astype(dtype)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent within 2e-6: MindSpore's own on CPUs is off by up to 1e-4."""
    return 2.0 * ops.sigmoid(2.0 * x) - 1.0


def uniform(rng: np.random.Generator, bound: float, shape: tuple[int, ...]) -> Tensor:
    """A tensor of U(-bound, bound) drawn from a NumPy generator, so that a seed gives the same weights everywhere."""
    return Tensor(rng.uniform(-bound, bound, shape).astype(np.float32))


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis, epsilon 1e-5, from elementary operators (MindSpore's CPU kernel is 20 times slower)."""

    def __init__(self, dim: int):
        super().__init__()
        self.gamma = Parameter(Tensor(np.ones(dim, np.float32)), name="gamma")
        self.beta = Parameter(Tensor(np.zeros(dim, np.float32)), name="beta")

    def construct(self, x):
        centred = x - x.mean(-1, keep_dims=True)
        variance = (centred * centred).mean(-1, keep_dims=True)
        return centred * ops.rsqrt(variance + 1e-5) * self.gamma + self.beta


class MaskedBatchNorm(nn.Cell):
    """Batch normalisation of (B, T, C) over batch and time, in which padding does not count; what it gives there means nothing."""

    def __init__(self, channels: int, epsilon: float = 1e-5):
        super().__init__()
        self.epsilon = Tensor([epsilon], ms.float32)
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        self.gamma, self.beta = Parameter(Tensor(ones), name="gamma"), Parameter(Tensor(zeros), name="beta")
        self.moving_mean = Parameter(Tensor(zeros), name="moving_mean", requires_grad=False)
        self.moving_variance = Parameter(Tensor(ones), name="moving_variance", requires_grad=False)
        grad = kernel("BatchNormGrad", lambda x, mask, gamma, mean, variance, epsilon, dy: (x, gamma, gamma))

        def bprop(x, mask, gamma, beta, epsilon, out, dout):
            dx, dgamma, dbeta = grad(x, mask, gamma, out[1], out[2], epsilon, dout[0])
            return dx, ops.zeros_like(mask), dgamma, dbeta, ops.zeros_like(epsilon)

        self.kernel = kernel("BatchNorm", lambda x, mask, gamma, beta, epsilon: (x, gamma, gamma), bprop)

    def construct(self, x, mask):
        """mask (B, T, 1)."""
        if not self.training:
            return self._scaled(x, self.moving_mean, self.moving_variance)
        if self.kernel is None:
            count = ops.maximum(mask.sum(), 2.0)
            mean = (x * mask).sum((0, 1)) / count
            centred = (x - mean) * mask
            variance = (centred * centred).sum((0, 1)) / count
            y = self._scaled(x, mean, variance)
        else:
            y, mean, variance = self.kernel(x, mask, self.gamma, self.beta, self.epsilon)
        return ops.depend(y, self._move(ops.stop_gradient(mean), ops.stop_gradient(variance), ops.maximum(mask.sum(), 2.0)))

    def _scaled(self, x, mean, variance):
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        return x * scale + (self.beta - mean * scale)

    def _move(self, mean, variance, count):
        """Moves the statistics for evaluation towards those of a batch, the variance without its bias."""
        moved = ops.assign(self.moving_mean, self.moving_mean * (1 - MOMENTUM) + mean * MOMENTUM)
        unbiased = variance * (count / (count - 1.0))
        return moved, ops.assign(self.moving_variance, self.moving_variance * (1 - MOMENTUM) + unbiased * MOMENTUM)


class Recurrent(nn.Cell):
    """One recurrent layer, (T, B, input) -> (T, B, hidden); two directions are summed (DeepSpeech2, section 3.1), or with `concat` put side by side.

    The parameters have PyTorch's names, shapes and gate order. Padding has no influence: the backward direction reads each utterance
    reversed within its own length, since the CPU kernels know no lengths.
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

    The frames go by in a compiled kernel. Without one, GRU and RNN are a graph of as many parts as there are frames, minutes to compile for long utterances.
    MindSpore's own LSTM is faster for few units; for many it takes a third more memory in training. Outside training it is used, for it can be exported.
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
        if self.kind == "lstm" and (self.kernel is None or not self.training):
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
    """(gates (T, B, G H), weight (G H, H), two biases (G H,)) -> (y (T, B, H), what its gradient needs): kernels/recurrent.cc, or None."""
    saved = {"lstm": 5, "gru": 4, "rnn": 1}[kind]  # numbers of a unit and frame
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

    def construct(self, x, mask):
        steps = x.shape[0]
        x = ops.concat((x * mask, ops.zeros((self.context, x.shape[1], x.shape[2]), x.dtype)))
        y = x[:steps] * self.weight[:, 0, 0]
        for k in range(1, self.context + 1):
            y = y + x[k : k + steps] * self.weight[:, 0, k]
        return y
