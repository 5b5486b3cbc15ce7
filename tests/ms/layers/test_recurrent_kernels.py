"""Recurrent layers over many frames and sizes, compiled and plain, against PyTorch's on packed sequences."""

import os
import re
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrlib.ms import kernels
from asrlib.ms.layers.recurrent import GATES, Recurrent

THEIRS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


class Gradients(nn.Cell):
    """(output, gradients of x and of the parameters) of the sum of output * factors."""

    def __init__(self, layer: nn.Cell, factors: np.ndarray):
        super().__init__(auto_prefix=False)
        self.layer, self.factors = layer, Tensor(factors)
        self.function = ops.value_and_grad(self.weighted, 0, ms.ParameterTuple(layer.trainable_params()), has_aux=True)

    def weighted(self, x, lengths):
        y = self.layer(x, lengths)
        return (y * self.factors).sum(), y

    def construct(self, x, lengths):
        (_, y), grads = self.function(x, lengths)
        return y, grads


def check(kind: str, bidirectional: bool, steps: int, batch: int, hidden: int, inputs: int = 6):
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    layer = Recurrent(kind, inputs, hidden, bidirectional, rng, concat=True)
    module = THEIRS[kind](inputs, hidden, bidirectional=bidirectional)
    module.load_state_dict({p.name: torch.tensor(p.asnumpy()) for p in layer.trainable_params()})
    lengths = np.array([steps, *rng.integers(1, steps + 1, batch - 1)], np.int32)
    inside = (np.arange(steps)[:, None] < lengths)[..., None]
    x = np.where(inside, rng.normal(size=(steps, batch, inputs)), 100).astype(np.float32)
    factors = (inside * rng.normal(size=(steps, batch, hidden * (1 + bidirectional))) / (steps * batch)).astype(np.float32)
    tensor = torch.tensor(x, requires_grad=True)
    expected, _ = pad_packed_sequence(module(pack_padded_sequence(tensor, torch.tensor(lengths).long(), enforce_sorted=False))[0])
    (expected * torch.tensor(factors)).sum().backward()
    y, (of_x, of_weights) = Gradients(layer, factors).set_train()(Tensor(x), Tensor(lengths))
    np.testing.assert_allclose(y.asnumpy() * inside, expected.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(of_x.asnumpy(), tensor.grad.numpy(), atol=1e-5 * float(tensor.grad.abs().max()))
    grads = dict(module.named_parameters())
    for parameter, found in zip(layer.trainable_params(), of_weights, strict=True):
        wanted = grads[parameter.name].grad.numpy()
        np.testing.assert_allclose(found.asnumpy(), wanted, atol=1e-5 * np.abs(wanted).max() + 1e-9, err_msg=parameter.name)


both = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])


@both
@pytest.mark.parametrize("kind", THEIRS)
@pytest.mark.parametrize(("steps", "batch", "hidden"), [(1, 2, 5), (7, 5, 37), (5, 1, 16), (6, 7, 70)])
def test_sizes_that_divide_by_nothing(compiled, kind, bidirectional, steps, batch, hidden):
    check(kind, bidirectional, steps, batch, hidden)


@both
@pytest.mark.parametrize(("kind", "hidden"), [("lstm", 330), ("gru", 380), ("rnn", 660), ("lstm", 640)])
def test_frames_shared_by_threads(monkeypatch, kind, hidden, bidirectional):
    """From kShared products a frame on threads share a direction; above kCached bytes the directions come one after the other."""
    if kernels.library() is None:
        pytest.skip("no C++ compiler on this machine")
    batch, source = 5, "".join(path.read_text() for path in kernels.SOURCES)
    shared, cached = (eval_shift(re.search(rf"{name} = (\d+ << \d+);", source)[1]) for name in ("kShared", "kCached"))
    assert batch * GATES[kind] * hidden**2 >= shared and (4 * GATES[kind] * hidden**2 > cached) == (hidden == 640)
    check(kind, bidirectional, 6, batch, hidden, inputs=20)


@pytest.mark.skipif("OMP_NUM_THREADS" in os.environ and os.environ["OMP_NUM_THREADS"] != "1", reason="the tests already have several threads")
def test_several_threads():
    """The tests of this file that share frames, with three threads: tests/run.sh gives a process one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "test_frames_shared_by_threads and both"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "3"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]


def eval_shift(text: str) -> int:
    value, places = map(int, text.split("<<"))
    return value << places


@pytest.mark.parametrize("kind", THEIRS)
def test_long_utterances(kind):
    """800 frames are 16 s of speech; unrolled, GRU and RNN would take minutes to compile."""
    if kernels.library() is None:
        pytest.skip("no C++ compiler on this machine")
    check(kind, True, 800, 2, 24, inputs=10)
