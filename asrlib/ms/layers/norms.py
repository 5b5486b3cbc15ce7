"""Normalisations that ignore padding. They compute in float32 and return the precision of the input."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.ms.kernels import in_place, kernel
from asrlib.ms.layers.broadcast import BiasAdd, ColumnScale, cast
from asrlib.ms.layers.common import time_mask

EPSILON = 1e-5
MOMENTUM = 0.1  # of batch normalisation's moving statistics, as PyTorch counts it


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis."""

    def __init__(self, dim: int):
        super().__init__()
        self.gamma, self.beta = _affine(dim)
        grad = kernel("LayerNormGrad", lambda x, gamma, dy: (x, gamma, gamma))

        def bprop(x, gamma, beta, out, dout):
            return grad(x, gamma, dout)

        self.kernel = kernel("LayerNorm", lambda x, gamma, beta: x, bprop)

    def construct(self, x):
        y = cast(x, ms.float32)
        if self.kernel is None:
            y = y - y.mean(-1, keep_dims=True)
            y = y * ops.rsqrt((y * y).mean(-1, keep_dims=True) + EPSILON) * self.gamma + self.beta
        else:
            y = self.kernel(y, self.gamma, self.beta)
        return cast(y, x.dtype)


class TimeNorm(nn.Cell):
    """Every channel of x (B, T, C) normalised over the frames of its utterance: HuBERT's group normalisation with as many groups as channels.

    lengths (B,) int32 frames; padding is ignored and set to 0.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gamma, self.beta = _affine(channels)
        grad = kernel("TimeNormGrad", lambda x, gamma, lengths, dy: (x, gamma, gamma))

        def bprop(x, gamma, beta, lengths, out, dout):
            dx, dgamma, dbeta = grad(x, gamma, lengths, dout)
            return dx, dgamma, dbeta, ops.zeros_like(lengths)

        self.kernel = kernel("TimeNorm", lambda x, gamma, beta, lengths: x, bprop)

    def construct(self, x, lengths):
        y = cast(x, ms.float32)
        if self.kernel is None:
            mask = time_mask(lengths, x.shape[1]).expand_dims(2)
            count = cast(ops.maximum(lengths, 1), ms.float32).reshape(-1, 1, 1)
            y = (y - (y * mask).sum(1, keepdims=True) / count) * mask
            y = (y * ops.rsqrt((y * y).sum(1, keepdims=True) / count + EPSILON) * self.gamma + self.beta) * mask
        else:
            y = self.kernel(y, self.gamma, self.beta, lengths)
        return cast(y, x.dtype)


class MaskedBatchNorm(nn.Cell):
    """Batch normalisation of (B, T, C) over batch and time that ignores padding; its output in the padding is undefined."""

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
        self.scale, self.shift = ColumnScale(), BiasAdd()
        self.move, self.share = in_place("MoveStatistics", 2, 4), Tensor([MOMENTUM], ms.float32)

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
        mean, variance = ops.stop_gradient(mean), ops.stop_gradient(variance)
        if self.move is not None:
            return ops.depend(y, self.move(self.moving_mean, self.moving_variance, mean, variance, mask, self.share))
        return ops.depend(y, self._move(mean, variance, ops.maximum(mask.sum(), 2.0)))

    def _scaled(self, x, mean, variance):
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        return self.shift(self.scale(x, scale), self.beta - mean * scale)

    def _move(self, mean, variance, count):
        """Moves the moving statistics towards those of a batch; the variance is unbiased."""
        moved = ops.assign(self.moving_mean, self.moving_mean * (1 - MOMENTUM) + mean * MOMENTUM)
        unbiased = variance * (count / (count - 1.0))
        return moved, ops.assign(self.moving_variance, self.moving_variance * (1 - MOMENTUM) + unbiased * MOMENTUM)


def _affine(dim: int) -> tuple[Parameter, Parameter]:
    return Parameter(Tensor(np.ones(dim, np.float32)), name="gamma"), Parameter(Tensor(np.zeros(dim, np.float32)), name="beta")
