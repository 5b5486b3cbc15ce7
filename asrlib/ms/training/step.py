"""The training step: one graph per shape of a batch for the forward and backward pass, and one graph for all shapes that updates the weights."""

import time

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops

from asrlib.config.training import OptimConfig
from asrlib.ms.kernels import in_place, kernel
from asrlib.ms.training.optim import for_tensors
from asrlib.ms.training.parallel import JoinStatistics, Ranks, statistic_weights
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.memory import GB, peak_memory, release_memory

log = get_logger(__name__)


def _square_sum():
    """x -> the sum of its squares (1,), without an array of squares."""
    own = kernel("SquareSum", lambda x: [1] if isinstance(x, (list, tuple)) else x)
    product, plain = ops.MatMul(transpose_b=True), ops.MultitypeFuncGraph("square_sum")

    @plain.register("Tensor")
    def _(x):
        flat = x.reshape(1, -1)
        return product(flat, flat).reshape(1)

    return own or plain


def _add_to():
    """(first (1,), sum, gradient): adds the gradient to the sum or, if it is the first one, replaces the sum."""
    own, plain = in_place("AddTo", 1, 2), ops.MultitypeFuncGraph("add_to")

    @plain.register("Tensor", "Tensor", "Tensor")
    def _(first, total, grad):
        if own is not None:
            return own(total, grad, first)
        return ops.assign(total, ops.select(first.reshape(()) > 0, grad, total + grad))

    return plain


class Gradients(nn.Cell):
    """(first (1,), loss scale (), arrays of a batch) -> metrics (K,), whether the loss was finite (1,) float32, gradients times the loss scale.

    sums: parameters to which the gradients are added, or which they replace if first is 1; gradients are not returned then.
    loss: a cell: arrays of a batch -> its share of the update's loss (), metrics (K,).
    """

    def __init__(self, loss: nn.Cell, weights: ParameterTuple, sums: ParameterTuple | None):
        super().__init__(auto_prefix=False)
        self.loss = loss
        self.value_and_grad = ops.value_and_grad(self._scaled, None, weights, has_aux=True)
        self.sums, self.add_to, self.map = sums, _add_to(), ops.HyperMap()
        self.set_train()

    def _scaled(self, loss_scale, *inputs):
        loss, metrics = self.loss(*inputs)
        return loss * loss_scale, metrics

    def construct(self, first, loss_scale, *inputs):
        (loss, metrics), grads = self.value_and_grad(loss_scale, *inputs)
        finite = ops.isfinite(loss).astype(ms.float32).reshape(1)
        if self.sums is None:
            return metrics, finite, grads
        return metrics, ops.depend(finite, self.map(ops.partial(self.add_to, first), self.sums, grads)), ()


class Copy(nn.Cell):
    """Copies the values of some parameters into others."""

    def __init__(self, to: ParameterTuple, values: ParameterTuple):
        super().__init__(auto_prefix=False)
        self.to, self.values, self.map, self.assign = to, values, ops.HyperMap(), for_tensors(assign, 2)

    def construct(self):
        return self.map(self.assign, self.to, self.values)


def assign(parameter, value):
    return ops.assign(parameter, value)


class Update(nn.Cell):
    """(rate (), loss scale (), finite (1,), gradients...) -> gradient norm (), 0 if it is not needed, whether the weights were updated () bool.

    Sums the gradients over the processes, divides them by the loss scale and clips them. Skips the update if the loss or the gradient norm (computed
    for clipping or a loss scale) is not finite. scaled: whether there is a loss scale; sums: the accumulated gradients; then none are passed.
    """

    def __init__(self, optimizer: nn.Cell, clip: float, scaled: bool, processes: int, sums: ParameterTuple | None):
        super().__init__(auto_prefix=False)
        self.optimizer, self.clip, self.processes, self.sums = optimizer, clip, processes, sums
        self.needs_norm = clip > 0 or scaled
        self.all_reduce = ops.AllReduce() if processes > 1 else None
        self.map, self.square_sum = ops.HyperMap(), _square_sum()

    def construct(self, rate, loss_scale, finite, *grads):
        if self.sums is not None:
            grads = self.sums
        if self.all_reduce is not None:
            grads = self.map(self.all_reduce, grads)
            finite = self.all_reduce(finite)
        finite = finite.reshape(()) > self.processes - 0.5
        norm = ops.zeros_like(rate)
        scale = 1.0 / loss_scale
        if self.needs_norm:
            norm = ops.sqrt(ops.addn(self.map(self.square_sum, grads))).reshape(()) * scale
            finite = ops.logical_and(finite, ops.isfinite(norm))
            if self.clip > 0:
                scale = scale * ops.minimum(ops.ones_like(norm), self.clip / (norm + 1e-6))
        if finite:
            finite = ops.depend(finite, self.optimizer(grads, rate, scale))
        return norm, finite


class TrainStep:
    """Computes one batch. Gradients are summed over optim.accumulate batches, or over the parts of one (accumulate), and over the processes.

    The last batch of an update changes the weights. If the loss is not finite, the moving statistics of batch normalisation, which the forward pass
    writes, are restored. scaled: whether loss_scale, which may be changed between two updates, is not always 1: gradients are checked for overflow.
    """

    def __init__(
        self,
        network: nn.Cell,
        loss: nn.Cell,
        optimizer: nn.Cell,
        config: OptimConfig,
        scaled: bool = False,
        ranks: Ranks = Ranks(),  # noqa: B008  (frozen)
        accumulate: bool = False,
    ):
        sums = optimizer.weights.clone(prefix="gradient_sum", init="zeros") if accumulate or config.accumulate > 1 else None
        self.loss_scale = 1.0
        self.gradients = Gradients(loss, optimizer.weights, sums)
        self.update = Update(optimizer, config.grad_clip, scaled, ranks.size, sums)
        statistics = ParameterTuple(p for p in network.get_parameters() if not p.requires_grad)
        former = statistics.clone(prefix="former")
        self.keep, self.restore = (Copy(former, statistics), Copy(statistics, former)) if statistics else (None, None)
        self.ranks, self.moves, self.join = ranks, 0, None
        if statistics and ranks.size > 1:
            before = statistics.clone(prefix="before")
            self.begin, self.join = Copy(before, statistics), JoinStatistics(statistics, before)
        self.finite, self.first = np.ones(1, np.float32), True
        self.shapes: set[tuple] = set()
        self.compile_seconds = 0.0

    def __call__(self, rate: float, update: bool, *inputs: np.ndarray, counts: bool = True, ends: bool = True) -> tuple[np.ndarray, float, bool]:
        """rate: learning rate; update: whether this batch is the last of an update; inputs: arrays of the batch, or of a part of it.
        counts: whether the batch is one of the update; ends: whether this is its last part.

        -> metrics (K,), gradient norm or 0 if it is not needed, whether loss and gradients were finite.
        """
        if self.keep is not None:
            self.keep()
        if self.join is not None and self.moves == 0:
            self.begin()
        first, scale, *batch = self._arguments(inputs)
        try:
            if self.is_new(inputs):
                self.compile(*inputs)
            metrics, finite, grads = self.gradients(first, scale, *batch)
        except RuntimeError as error:
            if "emory" in str(error) and "enough" in str(error):
                shape, used = " x ".join(map(str, inputs[0].shape)), peak_memory() / GB
                advice = f"run again with --memory_gb {max(1, int(used * 2 / 3))}"
                raise UserError(f"out of memory at a batch of {shape}, with {used:.1f} GB in use: {advice}") from None
            raise
        self.finite, self.first = np.minimum(self.finite, finite.asnumpy()), update
        good = bool(finite.asnumpy()[0])
        if self.restore is not None and not good:
            self.restore()
        self.moves += counts and good
        if ends:
            self._join()
        norm, finite = 0.0, bool(self.finite[0])
        if update:
            norm, finite = (x.asnumpy() for x in self.update(Tensor(rate, ms.float32), scale, Tensor(self.finite), *grads))
            self.finite = np.ones(1, np.float32)
        return metrics.asnumpy(), float(norm), bool(finite)

    def _join(self) -> None:
        """After a batch of every process: the statistics that one process would have."""
        if self.join is not None:
            own = np.arange(self.ranks.size) == self.ranks.rank
            weights = statistic_weights(self.ranks.sum(own * float(self.moves)), self.ranks.rank)
            self.join(*(Tensor(weight, ms.float32) for weight in weights))
        self.moves = 0

    def is_new(self, inputs) -> bool:
        """Whether a graph has to be compiled for a batch of these shapes."""
        return tuple(x.shape for x in inputs) not in self.shapes

    def compile(self, *inputs: np.ndarray) -> None:
        """Compiles the graph for a batch of these shapes."""
        begin = time.perf_counter()
        self.gradients.compile(*self._arguments(inputs))
        self.compile_seconds += time.perf_counter() - begin
        self.shapes.add(tuple(x.shape for x in inputs))
        release_memory()

    def _arguments(self, inputs) -> tuple[Tensor, ...]:
        """The arguments of the graph: whether the batch is the first of an update, loss scale, arrays of the batch."""
        return Tensor([self.first], ms.float32), Tensor(self.loss_scale, ms.float32), *(Tensor(x) for x in inputs)

    def log_resources(self) -> None:
        """Logs the time of compilation and the peak memory of the process."""
        log.info("%d graphs compiled in %.0f s; peak memory %.1f GB", len(self.shapes), self.compile_seconds, peak_memory() / GB)
