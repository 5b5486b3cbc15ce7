"""Layers with and without compiled kernels: values and gradients against PyTorch's."""

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops

from asrlib.ms import kernels
from asrlib.ms.layers import common, norms

RNG = np.random.default_rng(0)
ms.set_context(mode=ms.GRAPH_MODE)


class _Weighted(nn.Cell):
    """The sum of a layer's outputs times fixed weights."""

    def __init__(self, layer, weights):
        super().__init__()
        self.layer, self.weights = layer, Tensor(weights)

    def construct(self, *inputs):
        return (self.layer(*inputs) * self.weights).sum()


def value_and_gradients(layer: nn.Cell, weights: np.ndarray, *inputs: np.ndarray):
    """Outputs, gradient of the first input and gradients of the parameters."""
    tensors = [Tensor(x) for x in inputs]
    grads = ops.GradOperation(get_all=True, get_by_list=True)
    parameters = ms.ParameterTuple(layer.trainable_params())

    class Gradient(nn.Cell):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def construct(self, *inputs):
            return grads(self.network, parameters)(*inputs)

    if parameters:
        of_inputs, of_parameters = Gradient(_Weighted(layer, weights))(*tensors)
    else:
        of_inputs, of_parameters = ops.GradOperation(get_all=True)(_Weighted(layer, weights))(*tensors), ()
    return layer(*tensors).asnumpy(), of_inputs[0].asnumpy(), [g.asnumpy() for g in of_parameters]


def close(found, expected, tolerance=2e-6):
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert np.abs(found - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


def test_gelu(compiled):
    x = np.concatenate([RNG.normal(size=9000) * 3, [0.0, -0.0, 30.0, -30.0, 1e-8, -1e-8]]).astype(np.float32)
    weights = RNG.normal(size=x.shape).astype(np.float32)
    y, dx, _ = value_and_gradients(common.Gelu(), weights, x)
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.gelu(t)
    (expected * torch.tensor(weights)).sum().backward()
    close(y, expected)
    close(dx, t.grad)


@pytest.mark.parametrize("shape", [(3, 5, 48), (70, 512)])
def test_layer_norm(compiled, shape):
    x, weights = ((RNG.normal(size=shape) * 3 + 1).astype(np.float32) for _ in range(2))
    layer, twin = norms.LayerNorm(shape[-1]), torch.nn.LayerNorm(shape[-1], dtype=torch.float64)
    for mine, theirs in ((layer.gamma, twin.weight), (layer.beta, twin.bias)):
        values = RNG.normal(size=shape[-1]).astype(np.float32)
        mine.set_data(Tensor(values))
        theirs.data = torch.tensor(values, dtype=torch.float64)
    y, dx, (dgamma, dbeta) = value_and_gradients(layer, weights, x)
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = twin(t)
    (expected * torch.tensor(weights)).sum().backward()
    for found, wanted in ((y, expected), (dx, t.grad), (dgamma, twin.weight.grad), (dbeta, twin.bias.grad)):
        close(found, wanted)


def test_time_norm_is_group_norm_of_each_utterance_alone(compiled):
    shape, lengths = (3, 40, 70), np.array([40, 17, 3], np.int32)
    x, weights = (RNG.normal(size=shape).astype(np.float32) * 2 + 1 for _ in range(2))
    layer, twin = norms.TimeNorm(shape[-1]), torch.nn.GroupNorm(shape[-1], shape[-1], dtype=torch.float64)
    for mine, theirs in ((layer.gamma, twin.weight), (layer.beta, twin.bias)):
        values = RNG.normal(size=shape[-1]).astype(np.float32)
        mine.set_data(Tensor(values))
        theirs.data = torch.tensor(values, dtype=torch.float64)
    y, dx, (dgamma, dbeta) = value_and_gradients(layer, weights, x, lengths)
    expected_y, expected_dx = np.zeros(shape), np.zeros(shape)
    for b, n in enumerate(lengths):
        t = torch.tensor(x[b : b + 1, :n], dtype=torch.float64, requires_grad=True)
        out = twin(t.transpose(1, 2)).transpose(1, 2)
        (out * torch.tensor(weights[b : b + 1, :n])).sum().backward()
        expected_y[b, :n], expected_dx[b, :n] = out.detach().numpy()[0], t.grad.numpy()[0]
    for found, wanted in ((y, expected_y), (dx, expected_dx), (dgamma, twin.weight.grad), (dbeta, twin.bias.grad)):
        close(found, wanted, 5e-6)


def test_dropout_is_a_function_of_its_seed(compiled):
    x = np.ones((64, 512), np.float32)
    layer = common.Dropout(0.1)
    layer.set_train()
    y, dx, _ = value_and_gradients(layer, np.full_like(x, 2.0), x, np.int32(7))
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.9)}
    assert abs((y == 0).mean() - 0.1) < 0.01
    np.testing.assert_allclose(dx, 2 * y, rtol=1e-6)
    other = layer(Tensor(x), Tensor(8, ms.int32)).asnumpy()
    assert abs(((y == 0) & (other == 0)).mean() - 0.01) < 0.005, "masks of different seeds are independent"
    neighbours = (y[:, 1:] == 0) & (y[:, :-1] == 0)
    assert abs(neighbours.mean() - 0.01) < 0.005
    layer.set_train(False)
    assert (layer(Tensor(x), Tensor(7, ms.int32)).asnumpy() == 1).all()


def test_dropout_is_the_same_with_and_without_a_compiler(monkeypatch):
    if kernels.library() is None:
        pytest.skip("no C++ compiler on this machine")
    x = RNG.normal(size=(9, 33)).astype(np.float32)
    with_kernel, results = common.Dropout(0.3).set_train(), []
    monkeypatch.setenv("ASRLIB_KERNELS", "0")
    for layer in (with_kernel, common.Dropout(0.3).set_train()):
        results.append([layer(Tensor(x), Tensor(seed, ms.int32)).asnumpy() for seed in (1, -5, 2**31 - 1)])
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_without_a_compiler_there_is_a_warning(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(kernels, "_folder", lambda: tmp_path)
    kernels._library.cache_clear()
    try:
        assert kernels.library() is None
    finally:
        kernels._library.cache_clear()
