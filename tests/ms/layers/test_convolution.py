"""Convolutions over time and over time and frequency, compiled and plain, against PyTorch's."""

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, ops

from asrlib.ms.layers.convolution import Conv2d, TimeConv
from tests.ms.layers.weighted import Weighted

RNG = np.random.default_rng(0)
ms.set_context(mode=ms.GRAPH_MODE)


def check(layer, x, twin):
    """Output and gradients of input and weight."""
    inputs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(layer.weight.asnumpy(), dtype=torch.float64, requires_grad=True)
    expected = twin(inputs, weight)
    weights = RNG.normal(size=expected.shape).astype(np.float32)
    (expected * torch.tensor(weights)).sum().backward()
    function = ops.value_and_grad(Weighted(layer, weights), 0, ms.ParameterTuple(layer.trainable_params()), has_aux=True)
    (_, y), (of_input, (of_weight,)) = function(Tensor(x))
    for found, wanted in ((y, expected), (of_input, inputs.grad), (of_weight, weight.grad)):
        wanted = wanted.detach().numpy()
        assert np.abs(found.asnumpy() - wanted).max() <= 5e-6 * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize(
    ("shape", "weight", "strides"),
    [
        ((2, 31, 17, 3), (5, 3, 7, 5), (2, 1)),
        ((2, 30, 16, 1), (8, 1, 5, 3), (2, 2)),
        ((1, 9, 5, 4), (17, 4, 3, 3), (1, 1)),
        ((2, 40, 81, 32), (32, 32, 21, 11), (2, 1)),
        ((1, 3, 4, 2), (33, 2, 9, 11), (3, 2)),  # filters longer than the input
    ],
)
def test_over_time_and_frequency(compiled, shape, weight, strides):
    layer = Conv2d(Tensor((RNG.normal(size=weight) / np.prod(weight[1:]) ** 0.5).astype(np.float32)), strides)

    def twin(x, w):
        y = torch.nn.functional.conv2d(x.permute(0, 3, 2, 1), w, stride=strides, padding=(weight[2] // 2, weight[3] // 2))
        return y.permute(0, 3, 2, 1)

    check(layer, RNG.normal(size=shape).astype(np.float32), twin)


@pytest.mark.parametrize(("inputs", "width", "stride", "frames"), [(1, 10, 5, 52), (4, 3, 2, 9), (8, 2, 2, 21), (3, 5, 1, 5)])
def test_over_time_without_padding(compiled, inputs, width, stride, frames):
    layer = TimeConv(inputs, 6, width, stride, np.random.default_rng(1))
    x = RNG.normal(size=(2, frames, inputs)).astype(np.float32)
    check(layer, x, lambda x, w: torch.nn.functional.conv1d(x.transpose(1, 2), w, stride=stride).transpose(1, 2))
