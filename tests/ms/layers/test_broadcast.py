"""Operators that broadcast an operand or permute axes, compiled and plain, against NumPy and PyTorch; graphs keep no index tables for them."""

import ctypes

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn

from asrlib.ms import kernels
from asrlib.ms.layers import broadcast
from asrlib.ms.layers.common import Tanh
from tests.ms.layers.weighted import check, draw

ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize("shape", [(3, 5, 7), (40, 700)])
def test_bias_columns_and_rows(compiled, shape):
    x, column, row = draw(*shape), draw(shape[-1]), draw(*shape[:-1], 1)
    check(broadcast.BiasAdd(), (x, column), lambda x, b: x + b, 2)
    check(broadcast.ColumnScale(), (x, column), lambda x, s: x * s, 2)
    check(broadcast.ColumnNorm(), (x,), lambda x: x.square().reshape(-1, shape[-1]).sum(0).sqrt(), 1)
    check(broadcast.RowScale(), (x, row), lambda x, s: x * s, 1)


def test_rows_of_several_axes(compiled):
    check(broadcast.RowScale(), (draw(3, 4, 5, 2), draw(3, 4, 1)), lambda x, s: x * s.unsqueeze(-1), 1)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 3, 2, 1), (1, 0, 3, 2), (3, 0, 1, 2)])
def test_permute(compiled, order):
    check(broadcast.Permute(*order), (draw(2, 3, 4, 5),), lambda x: x.permute(order), 1)


def test_permutations_in_one_graph_keep_their_gradients_apart(compiled):
    """MindSpore keeps one gradient for all kernels of a name: defined in the kernel, all had the order of the last one made."""

    class Two(nn.Cell):
        def __init__(self):
            super().__init__()
            self.first, self.second = broadcast.Permute(0, 3, 2, 1), broadcast.Permute(1, 2, 0, 3)

        def construct(self, x):
            return self.second(self.first(x) * 2.0)

    check(Two(), (draw(2, 3, 4, 5),), lambda x: (x.permute(0, 3, 2, 1) * 2).permute(1, 2, 0, 3), 1)


def test_tanh(compiled):
    check(Tanh(), (np.linspace(-12, 12, 501, dtype=np.float32),), torch.tanh, 1)


def test_compiled_graphs_keep_no_tables():
    """MindSpore's own operators keep 8 or 16 bytes for every number of their output, as long as the graph lives: here 20 to 40 MB each."""
    if kernels.library() is None:
        pytest.skip("no C++ compiler on this machine")

    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "free", "small", "maps", "mapped", "a", "b", "used", "c", "d")]

    info = ctypes.CDLL(None).mallinfo2
    info.restype = Info
    x, column, row = Tensor(draw(4, 500, 16, 80)), Tensor(draw(80)), Tensor(draw(4, 500, 1))

    class Plain(nn.Cell):
        def construct(self, x, column, row):
            return (x + column).transpose(0, 2, 1, 3) * row.reshape(4, 1, 500, 1)

    class Ours(nn.Cell):
        def __init__(self):
            super().__init__()
            self.add, self.scale, self.permute = broadcast.BiasAdd(), broadcast.RowScale(), broadcast.Permute(0, 2, 1, 3)

        def construct(self, x, column, row):
            return self.permute(self.scale(self.add(x, column), row))

    results, kept = [], []
    for cell in (Plain(), Ours()):
        before = info()
        results.append(cell(x, column, row).asnumpy())
        after = info()
        kept.append((after.mapped + after.used - before.mapped - before.used) % 2**30)  # the memory pool grows by GiB
    np.testing.assert_allclose(*results, rtol=1e-6)
    assert kept[0] > 60e6 and kept[1] < kept[0] - 60e6, "if the first fails, MindSpore has fixed it, and the kernels can be removed"
