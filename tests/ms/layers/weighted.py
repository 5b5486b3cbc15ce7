"""Layers compared with functions of PyTorch, with gradients."""

import numpy as np
import torch
from mindspore import Tensor, nn, ops

RNG = np.random.default_rng(0)


class Weighted(nn.Cell):
    """(sum of the layer's output times fixed weights, output)."""

    def __init__(self, layer, weights):
        super().__init__()
        self.layer, self.weights = layer, Tensor(weights)

    def construct(self, *inputs):
        y = self.layer(*inputs)
        return (y * self.weights).sum(), y


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def check(layer, inputs, twin, differentiated):
    """Output and gradients of the first `differentiated` inputs are those of a function of torch tensors."""
    tensors = [torch.tensor(x, dtype=torch.float64 if x.dtype == np.float32 else None) for x in inputs]
    for tensor in tensors[:differentiated]:
        tensor.requires_grad_()
    expected = twin(*tensors)
    weights = draw(*expected.shape)
    (expected * torch.tensor(weights)).sum().backward()
    function = ops.value_and_grad(Weighted(layer, weights), tuple(range(differentiated)), None, has_aux=True)
    (_, y), grads = function(*map(Tensor, inputs))
    grads = grads if isinstance(grads, tuple) else (grads,)
    for found, wanted in zip((y, *grads), (expected, *(t.grad for t in tensors[:differentiated])), strict=True):
        wanted = wanted.detach().numpy()
        assert np.abs(found.asnumpy() - wanted).max() <= 3e-6 * max(1.0, np.abs(wanted).max())
