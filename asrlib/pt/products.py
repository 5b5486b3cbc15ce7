"""Products in float16: the published MindSpore code of ProgRE computes linear layers and convolutions so, and the rest in float32.

The weights migrate to PyTorch without a change, but PyTorch computes all in float32: that is the difference in the published comparison of layers,
0.2 % on average. Here it is computed on any device: operands and results are rounded to float16, sums are float32.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

PRODUCTS = (F.linear, F.conv1d)


class HalfProducts(TorchFunctionMode):
    """Inside it, linear layers and convolutions over time have operands and results of float16."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func not in PRODUCTS:
            return func(*args, **kwargs)
        return _rounded(func(*map(_rounded, args), **{name: _rounded(value) for name, value in kwargs.items()}))


def products_of(precision: str) -> AbstractContextManager:
    """The context in which a network computes. precision: float32, or float16."""
    return {"float32": nullcontext, "float16": HalfProducts}[precision]()


def _rounded(value):
    return value.to(torch.float16).to(value.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
