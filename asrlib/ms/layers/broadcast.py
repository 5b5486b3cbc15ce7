"""Operators that broadcast an operand or permute axes.

On CPUs MindSpore's own operators keep an index table of 8 or 16 bytes per output number for each of them in each compiled graph, which would be most
of the memory of training. The compiled kernels keep nothing. The layers compute in float32, return the precision of the input and hold no parameters.
"""

import mindspore as ms
from mindspore import Tensor, nn, ops

from asrlib.ms.kernels import kernel

cast = ops.Cast()  # a tensor's astype takes many times longer to compile


class BiasAdd(nn.Cell):
    """x (..., D) + bias (D,)."""

    def __init__(self):
        super().__init__()
        of_bias = kernel("BiasAddGrad", lambda dy, bias: bias)

        def bprop(x, bias, out, dout):
            return dout, of_bias(dout, bias)

        self.kernel = kernel("BiasAdd", lambda x, bias: x, bprop)

    def construct(self, x, bias):
        return x + bias if self.kernel is None else cast(self.kernel(cast(x, ms.float32), bias), x.dtype)


class RowScale(nn.Cell):
    """x (..., D...) times factors (..., 1), such as the mask of the valid frames; factors get no gradient."""

    def __init__(self):
        super().__init__()
        again = kernel("RowScale", lambda x, factors: x)

        def bprop(x, factors, out, dout):
            return again(dout, factors), ops.zeros_like(factors)

        self.kernel = kernel("RowScale", lambda x, factors: x, bprop)

    def construct(self, x, factors):
        if self.kernel is None:
            return x * factors.reshape(factors.shape[:-1] + (1,) * (x.ndim - factors.ndim + 1)).astype(x.dtype)
        return cast(self.kernel(cast(x, ms.float32), factors), x.dtype)


class ColumnScale(nn.Cell):
    """x (..., D) times factors (D,)."""

    def __init__(self):
        super().__init__()
        again, dot = kernel("ColumnScale", lambda x, factors: x), kernel("ColumnDot", _columns)

        def bprop(x, factors, out, dout):
            return again(dout, factors), dot(dout, x)

        self.kernel = kernel("ColumnScale", lambda x, factors: x, bprop)

    def construct(self, x, factors):
        return x * factors if self.kernel is None else self.kernel(x, factors)


class ColumnNorm(nn.Cell):
    """x (..., D) -> the length of every column (D,)."""

    def __init__(self):
        super().__init__()
        scale = kernel("ColumnScale", lambda x, factors: x)

        def bprop(a, b, out, dout):
            return scale(b, dout), scale(a, dout)

        self.kernel = kernel("ColumnDot", _columns, bprop)

    def construct(self, x):
        square = (x * x).reshape(-1, x.shape[-1]).sum(0) if self.kernel is None else self.kernel(x, x)
        return ops.sqrt(square)


class Permute(nn.Cell):
    """Permutes four axes as numpy.transpose.

    The cell, not the kernel, defines the gradient: MindSpore keeps one gradient for all kernels of a name, whatever their order.
    """

    def __init__(self, *order: int):
        super().__init__()
        self.order, self.inverse = order, tuple(order.index(axis) for axis in range(4))
        self.forward_kernel, self.backward_kernel = kernel("Permute", _permuted(self.order)), kernel("Permute", _permuted(self.inverse))
        self.places, self.inverse_places = Tensor(self.order, ms.int32), Tensor(self.inverse, ms.int32)

    def construct(self, x):
        if self.forward_kernel is None:
            return x.transpose(self.order)
        return cast(self.forward_kernel(cast(x, ms.float32), self.places), x.dtype)

    def bprop(self, x, out, dout):
        if self.backward_kernel is None:
            return (dout.transpose(self.inverse),)
        return (cast(self.backward_kernel(cast(dout, ms.float32), self.inverse_places), dout.dtype),)


def plus_column(x, column):
    """x (..., D) + column (..., 1), where only x gets a gradient: a product repeats the column."""
    ones = ops.ones((1, x.shape[-1]), ms.float32)
    return x + ops.matmul(column.reshape(-1, 1), ones).reshape(x.shape)


def _columns(a, _):  # of shapes or of types
    return a[-1:] if isinstance(a, (list, tuple)) else a


def _permuted(order: tuple[int, ...]):
    def infer(x, _):
        return [x[axis] for axis in order] if isinstance(x, (list, tuple)) else x

    return infer
