"""Optimizers against PyTorch's: several updates of one compiled graph, each at another rate."""

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Parameter, Tensor, nn, ops

from asrlib.config.training import OptimConfig
from asrlib.ms.training.optim import Ema, SwapEma, make_optimizer

RATES = [1e-2, 1e-2, 5e-2, 1e-3, 0.0, 2e-2]
SHAPES = {"weight": (3, 4), "bias": (4,)}
SCALE = 0.5  # of the gradients


class Weights(nn.Cell):
    def __init__(self, values):
        super().__init__()
        self.weight, self.bias = (Parameter(Tensor(values[name]), name=name) for name in SHAPES)
        self.statistic = Parameter(Tensor(np.ones(2, np.float32)), name="statistic", requires_grad=False)


class Update(nn.Cell):
    def __init__(self, optimizer):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer

    def construct(self, weight, bias, rate):
        return self.optimizer((weight, bias), rate, ops.ones_like(rate) * SCALE)


class Change(nn.Cell):
    def __init__(self, parameter):
        super().__init__(auto_prefix=False)
        self.parameter = parameter

    def construct(self, value):
        return ops.assign(self.parameter, value)


def draw(rng):
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def torch_optimizer(parameters, config):
    if config.name == "sgd":
        return torch.optim.SGD(parameters, lr=1.0, momentum=config.momentum, weight_decay=config.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return kind(parameters, lr=1.0, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay)


@pytest.mark.parametrize(
    "config",
    [
        OptimConfig(name="adam", weight_decay=0.0),
        OptimConfig(name="adam", weight_decay=0.1, betas=(0.8, 0.95), eps=1e-5),
        OptimConfig(name="adamw", weight_decay=0.1),
        OptimConfig(name="sgd", weight_decay=0.1, momentum=0.9),
        OptimConfig(name="sgd", weight_decay=0.0, momentum=0.0),
    ],
    ids=["adam", "adam with L2", "adamw", "sgd", "plain sgd"],
)
def test_equals_torch(config, compiled):
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    start, grads = draw(rng), [draw(rng) for _ in RATES]
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    reference = torch_optimizer(list(theirs.values()), config)
    network = Weights(start)
    optimizer = make_optimizer(network, config)
    step = Update(optimizer)
    for rate, grad in zip(RATES, grads, strict=True):
        step(*(Tensor(grad[name]) for name in SHAPES), Tensor(rate, ms.float32))
        reference.param_groups[0]["lr"] = rate
        for name, weight in theirs.items():
            weight.grad = torch.tensor(grad[name] * SCALE)
        reference.step()
        for name in SHAPES:
            np.testing.assert_allclose(getattr(network, name).asnumpy(), theirs[name].detach().numpy(), rtol=2e-5, atol=1e-6)
    assert len(step.compile_cache) == 1
    np.testing.assert_array_equal(network.statistic.asnumpy(), [1, 1])
    assert [p.name for p in optimizer.weights] == list(SHAPES)


def test_novograd(compiled):
    """Against algorithm 1 of the paper, written out: the first gradient's norm begins the second moment."""
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    start, grads = draw(rng), [draw(rng) for _ in RATES]
    config = OptimConfig(name="novograd", betas=(0.95, 0.98), eps=1e-8, weight_decay=0.1)
    network = Weights(start)
    update = Update(make_optimizer(network, config))
    for grad, rate in zip(grads, RATES, strict=True):
        update(Tensor(grad["weight"]), Tensor(grad["bias"]), Tensor(rate, ms.float32))
    for name, weight in start.items():
        weight, moment, second = weight.astype(np.float64), 0.0, 0.0
        for step, (grad, rate) in enumerate(zip(grads, RATES, strict=True)):
            gradient = grad[name].astype(np.float64) * SCALE
            norm = (gradient**2).sum()
            second = norm if step == 0 else 0.98 * second + 0.02 * norm
            moment = 0.95 * moment + gradient / (np.sqrt(second) + 1e-8) + 0.1 * weight
            weight = weight - rate * moment
        np.testing.assert_allclose(getattr(network, name).asnumpy(), weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw", "novograd"])
def test_moving_average_is_kept_and_swapped(name):
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    start, grads = draw(rng), [draw(rng) for _ in RATES]
    network, plain = Weights(start), Weights(start)
    optimizer = Ema(make_optimizer(network, OptimConfig(name=name, momentum=0.0, weight_decay=0.0)), network, 0.9)
    alone = Update(make_optimizer(plain, OptimConfig(name=name, momentum=0.0, weight_decay=0.0)))
    update, swap, mean = Update(optimizer), SwapEma(optimizer), start["weight"].astype(np.float64)
    statistic, change = 1.0, Change(network.statistic)
    for grad, rate in zip(grads, RATES, strict=True):
        change(Tensor(np.full(2, rate, np.float32)))  # as the forward pass changes it
        statistic = 0.9 * statistic + 0.1 * rate
        arguments = Tensor(grad["weight"]), Tensor(grad["bias"]), Tensor(rate, ms.float32)
        update(*arguments)
        alone(*arguments)
        mean = 0.9 * mean + 0.1 * plain.weight.asnumpy()
    swap()
    np.testing.assert_allclose(network.weight.asnumpy(), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network.statistic.asnumpy(), statistic, rtol=1e-5)
    swap()
    np.testing.assert_array_equal(network.weight.asnumpy(), plain.weight.asnumpy())
    np.testing.assert_array_equal(network.statistic.asnumpy(), np.full(2, RATES[-1], np.float32))
    arguments = Tensor(grads[0]["weight"]), Tensor(grads[0]["bias"]), Tensor(0.1, ms.float32)
    update(*arguments)
    alone(*arguments)
    np.testing.assert_array_equal(network.weight.asnumpy(), plain.weight.asnumpy(), err_msg="after the swap, training resumes with the weights")
