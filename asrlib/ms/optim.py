"""Optimizers whose learning rate is an argument of every update.

MindSpore's own take the rate from a parameter, and a compiled graph keeps the value that it had when that graph was compiled: each padded length would train
at a rate of its own. nn.AdamWeightDecay has no bias correction besides. The results here are PyTorch's.
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from asrlib.ms.kernels import in_place
from asrlib.utils.experiment import OptimConfig

_scaled = ops.MultitypeFuncGraph("scaled")


@_scaled.register("Tensor", "Tensor")
def _scale_tensor(factor, grad):
    return grad * factor


def make_optimizer(network: nn.Cell, config: OptimConfig) -> nn.Cell:
    """adam (weight decay as an L2 penalty, Kingma and Ba 2015), adamw (decoupled, Loshchilov and Hutter 2019), sgd with momentum or novograd.

    construct(grads, rate, scale): one update of the trainable parameters with the gradients times scale ().
    """
    return {"sgd": Sgd, "novograd": NovoGrad}.get(config.name, Adam)(network, config)


class Adam(nn.Cell):
    """Adam and AdamW with bias correction, in one pass over the memory where there is a compiled kernel."""

    def __init__(self, network: nn.Cell, config: OptimConfig):
        super().__init__(auto_prefix=False)
        self.weights = _trainable(network)
        self.first, self.second = self.weights.clone("first_moment", init="zeros"), self.weights.clone("second_moment", init="zeros")
        self.beta1_power, self.beta2_power = _scalar("beta1_power"), _scalar("beta2_power")
        self.beta1, self.beta2 = config.betas
        self.eps, self.decay, self.decoupled = config.eps, config.weight_decay, config.name == "adamw"
        self.constants = Tensor([self.beta1, self.beta2, self.eps, self.decay, float(self.decoupled)], ms.float32)
        self.update, self.kernel, self.map = in_place("AdamUpdate", 3, 2), ops.Adam(), ops.HyperMap()

    def construct(self, grads, rate, scale):
        power1 = ops.assign(self.beta1_power, self.beta1_power * self.beta1)
        power2 = ops.assign(self.beta2_power, self.beta2_power * self.beta2)
        done = ()
        if self.update is not None:
            settings = ops.concat((ops.stack((rate, power1, power2, scale)), self.constants))
            for weight, first, second, grad in zip(self.weights, self.first, self.second, grads):  # noqa: B905  (no strict in a graph)
                done += (self.update(weight, first, second, grad, settings),)
            return done
        eps = self.eps * ops.sqrt(1.0 - power2)  # PyTorch adds it to the corrected root
        for weight, first, second, grad in zip(self.weights, self.first, self.second, self.map(ops.partial(_scaled, scale), grads)):  # noqa: B905
            if self.decay > 0 and self.decoupled:
                grad = ops.depend(grad, ops.assign(weight, weight * (1.0 - rate * self.decay)))
            elif self.decay > 0:
                grad = grad + weight * self.decay
            done += (self.kernel(weight, first, second, power1, power2, rate, self.beta1, self.beta2, eps, grad),)
        return done


class Sgd(nn.Cell):
    """Stochastic gradient descent with momentum and an L2 penalty."""

    def __init__(self, network: nn.Cell, config: OptimConfig):
        super().__init__(auto_prefix=False)
        self.weights = _trainable(network)
        self.velocity = self.weights.clone("velocity", init="zeros")
        self.momentum, self.decay = config.momentum, config.weight_decay
        self.kernel, self.map = ops.ApplyMomentum(), ops.HyperMap()

    def construct(self, grads, rate, scale):
        done = ()
        for weight, velocity, grad in zip(self.weights, self.velocity, self.map(ops.partial(_scaled, scale), grads)):  # noqa: B905
            grad = grad + weight * self.decay if self.decay > 0 else grad
            done += (self.kernel(weight, velocity, rate, grad, self.momentum),)
        return done


class NovoGrad(nn.Cell):
    """NovoGrad (Ginsburg et al. 2019, algorithm 1): gradients divided by a running norm of each layer, decoupled weight decay, momentum."""

    def __init__(self, network: nn.Cell, config: OptimConfig):
        super().__init__(auto_prefix=False)
        self.weights = _trainable(network)
        self.first = self.weights.clone("first_moment", init="zeros")
        self.second = ParameterTuple(Parameter(Tensor(np.zeros(1, np.float32)), name=f"second_moment.{p.name}", requires_grad=False) for p in self.weights)
        self.beta1, self.beta2 = config.betas
        self.eps, self.decay = config.eps, config.weight_decay
        self.constants = Tensor([self.beta1, self.beta2, self.eps, self.decay], ms.float32)
        self.update, self.map = in_place("NovoGradUpdate", 3, 2), ops.HyperMap()

    def construct(self, grads, rate, scale):
        done = ()
        if self.update is not None:
            settings = ops.concat((ops.stack((rate, scale)), self.constants))
            for weight, first, second, grad in zip(self.weights, self.first, self.second, grads):  # noqa: B905
                done += (self.update(weight, first, second, grad, settings),)
            return done
        for weight, first, second, grad in zip(self.weights, self.first, self.second, self.map(ops.partial(_scaled, scale), grads)):  # noqa: B905
            norm = (grad * grad).sum().reshape(1)
            second_now = ops.select(second > 0, self.beta2 * second + (1.0 - self.beta2) * norm, norm)  # the first gradient begins it
            moment = self.beta1 * first + grad / (ops.sqrt(second_now) + self.eps) + self.decay * weight
            done += (ops.assign(second, second_now), ops.assign(first, moment), ops.assign(weight, weight - rate * moment))
        return done


class Ema(nn.Cell):
    """An optimizer that also keeps an exponential moving average of the weights, which starts as these."""

    def __init__(self, optimizer: nn.Cell, decay: float):
        super().__init__(auto_prefix=False)
        self.optimizer, self.weights, self.decay = optimizer, optimizer.weights, Tensor([decay], ms.float32)
        self.mean = self.weights.clone("running_mean", init="same")
        self.move = in_place("MoveMean", 1, 2)

    def construct(self, grads, rate, scale):
        done = self.optimizer(grads, rate, scale)
        for weight, mean in zip(self.weights, self.mean):  # noqa: B905
            weight = ops.depend(weight, done)
            if self.move is not None:
                done += (self.move(mean, weight, self.decay),)
            else:
                done += (ops.assign(mean, mean * self.decay + weight * (1.0 - self.decay)),)
        return done


class SwapEma(nn.Cell):
    """Exchanges the weights and their average, and exchanges them back when called again: in a graph, for compiled steps do not see other ways."""

    def __init__(self, optimizer: Ema):
        super().__init__(auto_prefix=False)
        self.weights, self.mean = optimizer.weights, optimizer.mean
        self.exchange = in_place("Exchange", 2, 0)

    def construct(self):
        done = ()
        for weight, mean in zip(self.weights, self.mean):  # noqa: B905
            if self.exchange is not None:
                done += (self.exchange(weight, mean),)
            else:
                before = weight + 0.0
                taken = ops.assign(weight, ops.depend(mean + 0.0, before))
                done += (ops.assign(mean, ops.depend(before, taken)),)
        return done


def _trainable(network: nn.Cell) -> ParameterTuple:
    return ParameterTuple(network.trainable_params())


def _scalar(name: str) -> Parameter:
    return Parameter(Tensor(np.float32(1.0)), name=name, requires_grad=False)
