"""Dot-product attention over the valid frames (Vaswani et al. 2017)."""

import mindspore as ms
from mindspore import nn, ops

from asrlib.ms.kernels import kernel
from asrlib.ms.layers.common import Dropout, positions


class MaskedSoftmax(nn.Cell):
    """scores (B, H, T, S), lengths (B,) int32 -> softmax over the first lengths[b] of S, 0 after them.

    Rows of length 0, which only fill up a batch, get equal values.
    """

    def __init__(self):
        super().__init__()
        gradient = kernel("MaskedSoftmaxGrad", lambda y, dy: y)

        def bprop(scores, lengths, out, dout):
            return gradient(out, dout), ops.zeros_like(lengths)

        self.kernel, self.gradient_kernel = kernel("MaskedSoftmax", lambda scores, lengths: scores, bprop), gradient

    def construct(self, scores, lengths):
        if self.kernel is not None:
            return self.kernel(scores, lengths)
        steps = scores.shape[3]
        padding = (positions(steps).expand_dims(0) >= lengths.expand_dims(1)).astype(ms.float32)
        return ops.softmax(scores - 1e9 * padding.reshape(-1, 1, 1, steps), -1)

    def gradient(self, y, dy):
        """Of the scores, from the softmax y and the gradient of it."""
        if self.gradient_kernel is not None:
            return self.gradient_kernel(y, dy)
        return y * (dy - (y * dy).sum(-1, keepdims=True))


class Attention(nn.Cell):
    """Dot-product attention over the valid frames: q, already scaled, k and v (B, H, T, D), frames (B,), seed () -> (B, H, T, D).

    The gradient computes the weights (B, H, T, T) again instead of keeping them, which would be half of the memory of a large model.
    """

    def __init__(self, dropout: float):
        super().__init__()
        self.scores, self.mix, self.turned = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul(), ops.BatchMatMul(transpose_a=True)
        self.softmax, self.dropout = MaskedSoftmax(), Dropout(dropout)

    def construct(self, q, k, v, frames, seed):
        return self.mix(self.dropout(self.softmax(self.scores(q, k), frames), seed), v)

    def bprop(self, q, k, v, frames, seed, out, dout):
        q = ops.depend(q, dout)  # not before the gradient: otherwise the compiler would keep the weights
        weights = self.softmax(self.scores(q, k), frames)
        dv = self.turned(self.dropout(weights, seed), dout)
        dscores = self.softmax.gradient(weights, self.dropout(self.scores(dout, v), seed))
        return self.mix(dscores, k), self.turned(dscores, q), dv, ops.zeros_like(frames), ops.zeros_like(seed)
