"""Optimizers whose learning rate is an argument of every update.

MindSpore's own optimizers take the rate from a parameter, and a compiled graph keeps the value that it had at compilation: each padded length would
have its own rate. Besides, nn.AdamWeightDecay has no bias correction. The results here equal PyTorch's.
"""

from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from asrlib.config.training import OptimConfig
from asrlib.ms.kernels import in_place


def for_tensors(function: Callable, count: int) -> Callable:
    """A function of `count` tensors for ops.HyperMap: over hundreds of parameters a loop takes minutes to compile in a graph, a map seconds."""
    graph = ops.MultitypeFuncGraph(function.__name__)
    graph.register(*["Tensor"] * count)(function)
    return graph


def make_optimizer(network: nn.Cell, config: OptimConfig) -> nn.Cell:
    """adam (weight decay as an L2 penalty, Kingma and Ba 2015), adamw (decoupled, Loshchilov and Hutter 2019), sgd with momentum or novograd.

    construct(grads, rate, scale): one update of the trainable parameters with the gradients times scale ().
    """
    return {"sgd": Sgd, "novograd": NovoGrad}.get(config.name, Adam)(network, config)


class Adam(nn.Cell):
    """Adam and AdamW with bias correction; the compiled kernel needs one pass over the memory."""

    def __init__(self, network: nn.Cell, config: OptimConfig):
        super().__init__(auto_prefix=False)
        self.weights = _trainable(network)
        self.first, self.second = self.weights.clone("first_moment", init="zeros"), self.weights.clone("second_moment", init="zeros")
        self.beta1_power, self.beta2_power = _scalar("beta1_power"), _scalar("beta2_power")
        self.beta1, self.beta2 = config.betas
        self.eps, self.decay, self.decoupled = config.eps, config.weight_decay, config.name == "adamw"
        self.constants = Tensor([self.beta1, self.beta2, self.eps, self.decay, float(self.decoupled)], ms.float32)
        self.map, self.each = ops.HyperMap(), for_tensors(self._kernel_update() or self._plain_update(), 5)

    def construct(self, grads, rate, scale):
        power1 = ops.assign(self.beta1_power, self.beta1_power * self.beta1)
        power2 = ops.assign(self.beta2_power, self.beta2_power * self.beta2)
        settings = ops.concat((ops.stack((rate, power1, power2, scale)), self.constants))
        return self.map(ops.partial(self.each, settings), self.weights, self.first, self.second, grads)

    @staticmethod
    def _kernel_update() -> Callable | None:
        kernel = in_place("AdamUpdate", 3, 2)

        def adam(settings, weight, first, second, grad):
            return kernel(weight, first, second, grad, settings)

        return adam if kernel is not None else None

    def _plain_update(self) -> Callable:
        kernel, beta1, beta2, eps, decay, decoupled = ops.Adam(), self.beta1, self.beta2, self.eps, self.decay, self.decoupled

        def adam(settings, weight, first, second, grad):
            rate, power1, power2, grad = settings[0], settings[1], settings[2], grad * settings[3]
            if decay > 0 and decoupled:
                grad = ops.depend(grad, ops.assign(weight, weight * (1.0 - rate * decay)))
            elif decay > 0:
                grad = grad + weight * decay
            corrected = eps * ops.sqrt(1.0 - power2)  # PyTorch adds it to the corrected root
            return kernel(weight, first, second, power1, power2, rate, beta1, beta2, corrected, grad)

        return adam


class Sgd(nn.Cell):
    """Stochastic gradient descent with momentum and an L2 penalty."""

    def __init__(self, network: nn.Cell, config: OptimConfig):
        super().__init__(auto_prefix=False)
        self.weights = _trainable(network)
        self.velocity = self.weights.clone("velocity", init="zeros")
        self.momentum, self.decay = config.momentum, config.weight_decay
        self.map, self.each = ops.HyperMap(), for_tensors(self._update(), 5)

    def construct(self, grads, rate, scale):
        return self.map(ops.partial(self.each, rate, scale), self.weights, self.velocity, grads)

    def _update(self) -> Callable:
        kernel, momentum, decay = ops.ApplyMomentum(), self.momentum, self.decay

        def momentum_update(rate, scale, weight, velocity, grad):
            grad = grad * scale
            grad = grad + weight * decay if decay > 0 else grad
            return kernel(weight, velocity, rate, grad, momentum)

        return momentum_update


class NovoGrad(nn.Cell):
    """NovoGrad (Ginsburg et al. 2019, algorithm 1): gradients divided by a running norm of each layer, decoupled weight decay, momentum."""

    def __init__(self, network: nn.Cell, config: OptimConfig):
        super().__init__(auto_prefix=False)
        self.weights = _trainable(network)
        self.first = self.weights.clone("first_moment", init="zeros")
        self.second = ParameterTuple(_layer_moment(p) for p in self.weights)
        self.beta1, self.beta2 = config.betas
        self.eps, self.decay = config.eps, config.weight_decay
        self.constants = Tensor([self.beta1, self.beta2, self.eps, self.decay], ms.float32)
        self.map, self.each = ops.HyperMap(), for_tensors(self._kernel_update() or self._plain_update(), 5)

    def construct(self, grads, rate, scale):
        settings = ops.concat((ops.stack((rate, scale)), self.constants))
        return self.map(ops.partial(self.each, settings), self.weights, self.first, self.second, grads)

    @staticmethod
    def _kernel_update() -> Callable | None:
        kernel = in_place("NovoGradUpdate", 3, 2)

        def novograd(settings, weight, first, second, grad):
            return kernel(weight, first, second, grad, settings)

        return novograd if kernel is not None else None

    def _plain_update(self) -> Callable:
        beta1, beta2, eps, decay = self.beta1, self.beta2, self.eps, self.decay

        def novograd(settings, weight, first, second, grad):
            grad = grad * settings[1]
            norm = (grad * grad).sum().reshape(1)
            second_now = ops.select(second > 0, beta2 * second + (1.0 - beta2) * norm, norm)  # starts with the first gradient
            moment = beta1 * first + grad / (ops.sqrt(second_now) + eps) + decay * weight
            kept = ops.assign(second, second_now), ops.assign(first, moment)
            return ops.depend(ops.assign(weight, weight - settings[0] * moment), kept)

        return novograd


class Ema(nn.Cell):
    """An optimizer that also keeps an exponential moving average of a network's parameters, initialised with them.

    It includes the moving statistics of batch normalisation, with which the averaged weights are evaluated.
    """

    def __init__(self, optimizer: nn.Cell, network: nn.Cell, decay: float):
        super().__init__(auto_prefix=False)
        self.optimizer, self.weights, self.decay = optimizer, optimizer.weights, Tensor([decay], ms.float32)
        self.parameters = ParameterTuple(network.get_parameters())
        self.mean = self.parameters.clone("running_mean", init="same")
        self.map, self.each = ops.HyperMap(), for_tensors(self._move(), 3)

    def construct(self, grads, rate, scale):
        decay = ops.depend(self.decay, self.optimizer(grads, rate, scale))
        return self.map(ops.partial(self.each, decay), self.mean, self.parameters)

    @staticmethod
    def _move() -> Callable:
        kernel = in_place("MoveMean", 1, 2)

        def move_mean(decay, mean, weight):
            if kernel is not None:
                return kernel(mean, weight, decay)
            return ops.assign(mean, mean * decay + weight * (1.0 - decay))

        return move_mean


class SwapEma(nn.Cell):
    """Swaps the parameters with their moving average; a second call swaps them back.

    A graph does it, since set_data may not reach compiled graphs.
    """

    def __init__(self, optimizer: Ema):
        super().__init__(auto_prefix=False)
        self.parameters, self.mean = optimizer.parameters, optimizer.mean
        self.map, self.each = ops.HyperMap(), for_tensors(self._swap(), 2)

    def construct(self):
        return self.map(self.each, self.parameters, self.mean)

    @staticmethod
    def _swap() -> Callable:
        kernel = in_place("Exchange", 2, 0)

        def swap(weight, mean):
            if kernel is not None:
                return kernel(weight, mean)
            before = weight + 0.0
            taken = ops.assign(weight, ops.depend(mean + 0.0, before))
            return ops.assign(mean, ops.depend(before, taken))

        return swap


def _trainable(network: nn.Cell) -> ParameterTuple:
    return ParameterTuple(network.trainable_params())


def _layer_moment(weight: Parameter) -> Parameter:
    return Parameter(Tensor(np.zeros(1, np.float32)), name=f"second_moment.{weight.name}", requires_grad=False)


def _scalar(name: str) -> Parameter:
    return Parameter(Tensor(np.float32(1.0)), name=name, requires_grad=False)
