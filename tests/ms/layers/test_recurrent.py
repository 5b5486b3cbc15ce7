"""Layers against PyTorch's: outputs, gradients of the input and of every parameter."""

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops

from asrlib.ms.layers.common import time_mask
from asrlib.ms.layers.norms import LayerNorm
from asrlib.ms.layers.recurrent import Lookahead, Recurrent
from asrlib.pt.models import deepspeech2 as twin

STEPS, INPUT, HIDDEN = 9, 5, 4
LENGTHS = np.array([4, 9, 1, 7], np.int32)
INSIDE = (np.arange(STEPS)[:, None] < LENGTHS).astype(np.float32)[..., None]  # (T, B, 1)


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


class Weighted(nn.Cell):
    """(sum of the layer's output times `factors`, output)"""

    def __init__(self, layer, factors):
        super().__init__(auto_prefix=False)
        self.layer, self.factors = layer, Tensor(factors)

    def construct(self, x, *more):
        y = self.layer(x, *more)
        return (y * self.factors).sum(), y


class Derivative(nn.Cell):
    def __init__(self, layer, factors):
        super().__init__(auto_prefix=False)
        self.forward = Weighted(layer, factors)
        self.weights = ms.ParameterTuple(layer.trainable_params())
        self.function = ops.value_and_grad(self.forward, 0, self.weights, has_aux=True)

    def construct(self, x, *more):
        (_, y), grads = self.function(x, *more)
        return y, grads


def ours(layer, factors, x, *more):
    """Output, gradient of x, {parameter: gradient} of sum(output * factors)."""
    y, (of_x, of_weights) = Derivative(layer, factors)(Tensor(x), *map(Tensor, more))
    names = [p.name for p in layer.trainable_params()]
    return y.asnumpy(), of_x.asnumpy(), {name: grad.asnumpy() for name, grad in zip(names, of_weights, strict=True)}


def theirs(function, module, factors, x):
    x = torch.tensor(x, requires_grad=True)
    y = function(x)
    (y * torch.tensor(factors)).sum().backward()
    return y.detach().numpy(), x.grad.numpy(), {name: p.grad.numpy() for name, p in module.named_parameters()}


def assert_close(one, other, rename=()):
    np.testing.assert_allclose(one[0], other[0], atol=2e-6)
    np.testing.assert_allclose(one[1], other[1], atol=1e-5)
    expected = {dict(rename).get(name, name): grad for name, grad in other[2].items()}
    assert one[2].keys() == expected.keys()
    for name, grad in expected.items():
        np.testing.assert_allclose(one[2][name], grad, atol=2e-5, err_msg=name)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_time_mask():
    mask = time_mask(Tensor(LENGTHS), STEPS).asnumpy()
    np.testing.assert_array_equal(mask, INSIDE[..., 0].T)
    assert mask.dtype == np.float32


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_recurrent_equals_packed_sequences(kind, bidirectional):
    """For any padding: outputs inside the utterances and their gradients."""
    layer = Recurrent(kind, INPUT, HIDDEN, bidirectional, np.random.default_rng(3))
    module = twin.RNN[kind](INPUT, HIDDEN, bidirectional=bidirectional)
    values = {p.name: torch.tensor(p.asnumpy()) for p in layer.trainable_params()}
    module.load_state_dict(values)  # the same names and shapes
    x, factors = draw(STEPS, len(LENGTHS), INPUT), draw(STEPS, len(LENGTHS), HIDDEN, seed=1) * INSIDE
    junk = np.where(INSIDE, x, 100).astype(np.float32)
    y, of_x, of_weights = ours(layer, factors, junk, LENGTHS)
    lengths = torch.tensor(LENGTHS)
    reference = theirs(lambda x: twin.DeepSpeech2._recurrent(module, x, lengths, STEPS), module, factors, x)
    assert_close((y * INSIDE, of_x, of_weights), reference)


def test_recurrent_weights_come_from_the_generator():
    weights = [
        {p.name: p.asnumpy() for p in Recurrent("gru", INPUT, HIDDEN, True, np.random.default_rng(seed)).get_parameters()} for seed in (1, 1, 2)
    ]
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])
        assert (array != weights[2][name]).all() and np.abs(array).max() <= HIDDEN**-0.5


def test_layer_norm():
    layer, module = LayerNorm(INPUT), torch.nn.LayerNorm(INPUT)
    gamma, beta = draw(INPUT, seed=4), draw(INPUT, seed=5)
    layer.gamma.set_data(Tensor(gamma))
    layer.beta.set_data(Tensor(beta))
    module.load_state_dict({"weight": torch.tensor(gamma), "bias": torch.tensor(beta)})
    x, factors = 3 * draw(STEPS, 4, INPUT) + 7, draw(STEPS, 4, INPUT, seed=1)
    x[0, 0] = 2.0  # zero deviation
    assert_close(ours(layer, factors, x), theirs(module, module, factors, x), {"weight": "gamma", "bias": "beta"}.items())


@pytest.mark.parametrize("context", [1, 4, 20])
def test_lookahead(context):
    """A depthwise convolution over future frames, with zeros after the last one; 20 is more than the utterance has."""
    layer = Lookahead(HIDDEN, context, np.random.default_rng(0))
    module = torch.nn.Conv1d(HIDDEN, HIDDEN, context + 1, groups=HIDDEN, bias=False)
    module.load_state_dict({"weight": torch.tensor(layer.weight.asnumpy())})
    x, factors = draw(STEPS, len(LENGTHS), HIDDEN), draw(STEPS, len(LENGTHS), HIDDEN, seed=1)

    def convolve(x):
        padded = torch.nn.functional.pad((x * torch.tensor(INSIDE)).permute(1, 2, 0), (0, context))
        return module(padded).permute(2, 0, 1)

    assert_close(ours(layer, factors, x, INSIDE), theirs(convolve, module, factors, x))
    outputs, _, _ = ours(layer, factors, np.where(INSIDE, x, 100).astype(np.float32), INSIDE)
    np.testing.assert_array_equal(outputs, ours(layer, factors, x, INSIDE)[0])
