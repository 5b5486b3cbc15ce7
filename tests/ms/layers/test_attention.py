"""Attention and its softmax, compiled and plain, against PyTorch; gradients that compute the weights again."""

import mindspore as ms
import numpy as np
import torch
from mindspore import Tensor, nn, ops
from torch.nn import functional as F

from asrlib.ms.layers.attention import Attention, MaskedSoftmax
from asrlib.ms.layers.common import Dropout
from tests.ms.layers.weighted import Weighted, check, draw

ms.set_context(mode=ms.GRAPH_MODE)
LENGTHS = np.array([6, 2, 1], np.int32)


def padding(lengths: torch.Tensor, steps: int) -> torch.Tensor:
    """(B, 1, 1, steps) -1e9 after the valid frames."""
    return -1e9 * (torch.arange(steps) >= lengths[:, None])[:, None, None, :].double()


def test_masked_softmax(compiled):
    check(MaskedSoftmax(), (3 * draw(3, 2, 4, 6), LENGTHS), lambda x, lengths: (x + padding(lengths, 6)).softmax(-1), 1)
    empty = MaskedSoftmax()(Tensor(draw(1, 1, 2, 4)), Tensor([0], ms.int32)).asnumpy()
    np.testing.assert_allclose(empty, 0.25, atol=1e-6)


def test_attention(compiled):
    def twin(q, k, v, lengths, seed):
        return F.scaled_dot_product_attention(q, k, v, padding(lengths, 6), scale=1.0)

    check(Attention(0.1).set_train(False), (draw(3, 2, 6, 4), draw(3, 2, 6, 4), draw(3, 2, 6, 4), LENGTHS, np.array(3, np.int32)), twin, 3)


class Kept(nn.Cell):
    """The same attention without a gradient of its own, so that the graph keeps the weights."""

    def __init__(self, dropout: float):
        super().__init__()
        self.scores, self.mix = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()
        self.softmax, self.dropout = MaskedSoftmax(), Dropout(dropout)

    def construct(self, q, k, v, frames, seed):
        return self.mix(self.dropout(self.softmax(self.scores(q, k), frames), seed), v)


def test_the_gradient_uses_the_mask_of_dropout_again(compiled):
    inputs, weights = [*(Tensor(draw(3, 2, 6, 4)) for _ in range(3)), Tensor(LENGTHS), Tensor(3, ms.int32)], draw(3, 2, 6, 4)
    results = []
    for layer in (Attention(0.4), Kept(0.4)):
        function = ops.value_and_grad(Weighted(layer.set_train(), weights), (0, 1, 2), None, has_aux=True)
        (_, y), grads = function(*inputs)
        results.append([x.asnumpy() for x in (y, *grads)])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    without = Attention(0.0).set_train()(*inputs).asnumpy()
    assert np.abs(results[0][0] - without).max() > 0.1
