"""One direction of the recurrent layers over many frames and sizes, compiled and plain, against PyTorch's."""

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops

from asrlib.ms import kernels
from asrlib.ms.layers import recurrent

THEIRS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
SHARED = 2**21  # kShared in recurrent.cc: from this many products per frame on, threads share it


class Gradients(nn.Cell):
    """(output, gradients of x and of the four parameters) of the sum of output * factors."""

    def __init__(self, layer: nn.Cell, factors: np.ndarray):
        super().__init__()
        self.layer, self.factors = layer, Tensor(factors)
        self.function = ops.value_and_grad(self.weighted, (0, 1, 2, 3, 4), None, has_aux=True)

    def weighted(self, *inputs):
        y = self.layer(*inputs)
        return (y * self.factors).sum(), y

    def construct(self, *inputs):
        (_, y), grads = self.function(*inputs)
        return y, grads


@pytest.fixture(autouse=True)
def kernel_for_few_units(monkeypatch):
    monkeypatch.setattr(recurrent, "MANY_UNITS", 0)


def check(kind: str, steps: int, batch: int, inputs: int, hidden: int):
    ms.set_context(mode=ms.GRAPH_MODE)
    torch.manual_seed(0)
    module = THEIRS[kind](inputs, hidden)
    x, factors = torch.randn(steps, batch, inputs, requires_grad=True), torch.randn(steps, batch, hidden) / (steps * batch)
    expected = module(x)[0]
    (expected * factors).sum().backward()
    tensors = [x, module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0, module.bias_hh_l0]
    y, grads = Gradients(recurrent._Direction(kind, inputs, hidden), factors.numpy()).set_train()(*(Tensor(t.detach().numpy()) for t in tensors))
    np.testing.assert_allclose(y.asnumpy(), expected.detach().numpy(), atol=1e-5)
    for name, grad, tensor in zip(("x", "w_ih", "w_hh", "b_ih", "b_hh"), grads, tensors, strict=True):
        np.testing.assert_allclose(grad.asnumpy(), tensor.grad.numpy(), atol=1e-5 * float(tensor.grad.abs().max()) + 1e-9, err_msg=name)


@pytest.mark.parametrize("kind", THEIRS)
@pytest.mark.parametrize(("steps", "batch", "hidden"), [(1, 2, 5), (7, 5, 37), (5, 1, 16)])
def test_sizes_that_divide_by_nothing(compiled, kind, steps, batch, hidden):
    check(kind, steps, batch, 6, hidden)


@pytest.mark.parametrize(("kind", "hidden"), [("lstm", 330), ("gru", 380), ("rnn", 660)])
def test_frames_shared_by_threads(kind, hidden):
    if kernels.library() is None:
        pytest.skip("no C++ compiler on this machine")
    batch = 5
    assert batch * recurrent.GATES[kind] * hidden**2 >= SHARED and f"kShared = 1 << {SHARED.bit_length() - 1};" in kernels_source()
    check(kind, 6, batch, 20, hidden)


@pytest.mark.parametrize("kind", THEIRS)
def test_long_utterances(kind):
    """800 frames are 16 s of speech; unrolled, GRU and RNN would take minutes to compile."""
    if kernels.library() is None:
        pytest.skip("no C++ compiler on this machine")
    check(kind, 800, 2, 10, 24)


def kernels_source() -> str:
    return "".join(source.read_text() for source in kernels.SOURCES)
