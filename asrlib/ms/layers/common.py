"""Layers without a time axis: activations, dropout, linear layers; masks and initial weights."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.ms.kernels import kernel
from asrlib.ms.layers.broadcast import BiasAdd, cast

_range, _scalar = ops.Range(), ops.ScalarToTensor()


def positions(count: int) -> Tensor:
    """0, 1, ... count - 1, int32, also for a dynamic length; ops.arange fails in the gradient of a cell."""
    return _range(_scalar(0, ms.int32), _scalar(count, ms.int32), _scalar(1, ms.int32))


def time_mask(lengths: Tensor, steps: int, dtype: ms.dtype = ms.float32) -> Tensor:
    """(B,) lengths -> (B, steps): 1 inside the utterance, 0 in its padding."""
    return (positions(steps).expand_dims(0) < lengths.expand_dims(1)).astype(dtype)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent within 2e-6: MindSpore's own on CPUs is off by up to 1e-4."""
    return 2.0 * ops.sigmoid(2.0 * x) - 1.0


def uniform(rng: np.random.Generator, bound: float, shape: tuple[int, ...]) -> Tensor:
    """A tensor of U(-bound, bound) drawn from a NumPy generator, so that a seed gives the same weights everywhere."""
    return Tensor(rng.uniform(-bound, bound, shape).astype(np.float32))


def normal(rng: np.random.Generator, deviation: float, shape: tuple[int, ...]) -> Tensor:
    """A tensor of N(0, deviation) from a NumPy generator."""
    return Tensor(rng.normal(0, deviation, shape).astype(np.float32))


class Tanh(nn.Cell):
    """The hyperbolic tangent."""

    def __init__(self):
        super().__init__()
        gradient = kernel("TanhGrad", lambda y, dy: y)

        def bprop(x, out, dout):
            return (gradient(out, dout),)

        self.kernel = kernel("Tanh", lambda x: x, bprop)

    def construct(self, x):
        return tanh(x) if self.kernel is None else self.kernel(x)


class Gelu(nn.Cell):
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016), not its tanh approximation."""

    def __init__(self):
        super().__init__()
        grad = kernel("GeluGrad", lambda x, dy: x)

        def bprop(x, out, dout):
            return (grad(x, dout),)

        self.kernel = kernel("Gelu", lambda x: x, bprop)

    def construct(self, x):
        y = cast(x, ms.float32)
        y = 0.5 * y * (1.0 + ops.erf(y * math.sqrt(0.5))) if self.kernel is None else self.kernel(y)
        return cast(y, x.dtype)


class Dropout(nn.Cell):
    """Dropout whose mask is a hash of position and seed, so that a resumed run gets the same masks. Does nothing in evaluation."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = Tensor(rate, ms.float32)
        self.active = rate > 0
        again = kernel("Dropout", lambda x, seed, rate: x)

        def bprop(x, seed, rate, out, dout):
            return again(dout, seed, rate), ops.zeros_like(seed), ops.zeros_like(rate)

        self.kernel = kernel("Dropout", lambda x, seed, rate: x, bprop)

    def construct(self, x, seed):
        """seed: () int32, different for every use and update."""
        if not (self.active and self.training):
            return x
        y = cast(x, ms.float32)
        y = self._plain(y, seed) if self.kernel is None else self.kernel(y, seed, self.rate)
        return cast(y, x.dtype)

    def _plain(self, x, seed):
        h = ops.bitwise_xor(_low(cast(positions(x.size), ms.int64) * 0x9E3779B1), _low(_low(cast(seed, ms.int64)) * 0x85EBCA77))
        h = _low(ops.bitwise_xor(h, h // 65536) * 0x85EBCA6B)
        h = _low(ops.bitwise_xor(h, h // 8192) * 0xC2B2AE35)
        h = ops.bitwise_xor(h, h // 65536)
        uniform = (h // 256).astype(ms.float32) * (1.0 / 16777216.0)
        return x * (uniform >= self.rate).astype(ms.float32).reshape(x.shape) / (1.0 - self.rate)


def _low(x):
    """The low 32 bits of int64 values."""
    return ops.bitwise_and(x, Tensor(0xFFFFFFFF, ms.int64))


class Linear(nn.Cell):
    """y = x weight^T + bias over the last axis; weight (outputs, inputs)."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator, bias: bool = True, deviation: float = 0.02):
        super().__init__()
        self.weight = Parameter(normal(rng, deviation, (outputs, inputs)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(outputs, np.float32)), name="bias") if bias else None
        self.outputs, self.dtype = outputs, ms.float32
        self.matmul, self.add = ops.MatMul(transpose_b=True), BiasAdd()

    def construct(self, x):
        shape = x.shape
        y = cast(self.matmul(cast(x.reshape(-1, shape[-1]), self.dtype), cast(self.weight, self.dtype)), ms.float32)
        if self.bias is not None:
            y = self.add(y, self.bias)
        return y.reshape(shape[:-1] + (self.outputs,))
