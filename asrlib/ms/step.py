"""The training step: a graph of forward and backward pass for each shape of a batch, and one graph each, whatever the shape, that adds gradients up and that updates.

So what is compiled for every padded length is the network alone, and memory between the graphs is shared: each leaves nothing but its outputs.
"""



import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops

from asrlib.ms.kernels import in_place, kernel
from asrlib.ms.losses import ctc_loss
from asrlib.utils.experiment import OptimConfig
from asrlib.utils.memory import release_memory

_copy = ops.MultitypeFuncGraph("copy")
_restore = ops.MultitypeFuncGraph("restore")


@_copy.register("Tensor", "Tensor")
def _copy_tensor(former, statistic):
    return ops.assign(former, statistic)


@_restore.register("Tensor", "Tensor", "Tensor")
def _restore_tensor(finite, statistic, former):
    return ops.assign(statistic, ops.select(finite, statistic, former))


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
    """(first (1,), sum, gradient): the gradient is added to the sum or, where it is the first one, takes its place."""
    own, plain = in_place("AddTo", 1, 2), ops.MultitypeFuncGraph("add_to")

    @plain.register("Tensor", "Tensor", "Tensor")
    def _(first, total, grad):
        if own is not None:
            return own(total, grad, first)
        return ops.assign(total, ops.select(first.reshape(()) > 0, grad, total + grad))

    return plain


class CtcLoss(nn.Cell):
    """(feats, feat_lengths, labels, label_lengths) -> the batch's share () of the loss of an update of `batches` batches; its own mean CTC loss (1,)."""

    def __init__(self, network: nn.Cell, blank: int, batches: int = 1):
        super().__init__(auto_prefix=False)
        self.network, self.blank, self.share = network, blank, 1.0 / batches

    def construct(self, feats, feat_lengths, labels, label_lengths):
        logits, lengths = self.network(feats, feat_lengths)
        loss = ctc_loss(logits, lengths, labels, label_lengths, self.blank).mean()
        return loss * self.share, ops.stop_gradient(loss).reshape(1)


class EvalStep(nn.Cell):
    """(feats, feat_lengths, labels, label_lengths) -> log-probabilities (B, T', V), their lengths (B,), losses (B,)."""

    def __init__(self, network: nn.Cell, blank: int):
        super().__init__(auto_prefix=False)
        self.network, self.blank = network, blank
        self.set_train(False)

    def construct(self, feats, feat_lengths, labels, label_lengths):
        logits, lengths = self.network(feats, feat_lengths)
        losses = ctc_loss(logits, lengths, labels, label_lengths, self.blank)
        return ops.log_softmax(logits.astype(ms.float32), -1).swapaxes(0, 1), lengths, losses


class Gradients(nn.Cell):
    """A batch's arrays -> the loss's numbers (K,), whether the loss was finite (1,) float32, and the gradients of the weights times the loss scale.

    loss: a cell from a batch's arrays to its share of an update's loss () and numbers to report (K,). The moving statistics of batch normalisation, which the
    forward pass writes, stay as they were when the loss is not finite.
    """

    def __init__(self, network: nn.Cell, loss: nn.Cell, weights: ParameterTuple, loss_scale: float):
        super().__init__(auto_prefix=False)
        self.loss, self.loss_scale = loss, loss_scale
        self.value_and_grad = ops.value_and_grad(self._scaled, None, weights, has_aux=True)
        self.statistics = ParameterTuple(p for p in network.get_parameters() if not p.requires_grad)
        self.former = self.statistics.clone(prefix="former")
        self.map = ops.HyperMap()
        self.set_train()

    def _scaled(self, *inputs):
        loss, metrics = self.loss(*inputs)
        return loss * self.loss_scale, metrics

    def construct(self, *inputs):
        first = ops.depend(inputs[0], self.map(_copy, self.former, self.statistics))
        (loss, metrics), grads = self.value_and_grad(first, *inputs[1:])
        finite = ops.isfinite(loss)
        finite = ops.depend(finite, self.map(ops.partial(_restore, finite), self.statistics, self.former))
        return metrics, finite.astype(ms.float32).reshape(1), grads


class Accumulate(nn.Cell):
    """(first (1,), gradients...): they are added to the sums or, where first is 1, take their place."""

    def __init__(self, sums: ParameterTuple):
        super().__init__(auto_prefix=False)
        self.sums, self.add_to, self.map = sums, _add_to(), ops.HyperMap()

    def construct(self, first, *grads):
        return self.map(ops.partial(self.add_to, first), self.sums, grads)


class Update(nn.Cell):
    """(rate (), finite (1,), gradients...) -> gradient norm () or 0 where it is not needed, whether the weights were updated () bool.

    The gradients are summed over the processes, scaled back and clipped. An update whose loss or gradient norm (where clipping or a loss scale needs it) is not
    finite is left out: weights and optimizer stay as they were. sums: the gradients, where they were accumulated; they are not given then.
    """

    def __init__(self, optimizer: nn.Cell, clip: float, loss_scale: float, processes: int, sums: ParameterTuple | None):
        super().__init__(auto_prefix=False)
        self.optimizer, self.clip, self.unscale, self.processes, self.sums = optimizer, clip, 1.0 / loss_scale, processes, sums
        self.needs_norm = clip > 0 or loss_scale != 1.0
        self.all_reduce = ops.AllReduce() if processes > 1 else None
        self.map, self.square_sum = ops.HyperMap(), _square_sum()

    def construct(self, rate, finite, *grads):
        if self.sums is not None:
            grads = self.sums
        if self.all_reduce is not None:
            grads = self.map(self.all_reduce, grads)
            finite = self.all_reduce(finite)
        finite = finite.reshape(()) > self.processes - 0.5
        norm = ops.zeros_like(rate)
        scale = ops.ones_like(rate) * self.unscale
        if self.needs_norm:
            norm = ops.sqrt(ops.addn(self.map(self.square_sum, grads))).reshape(()) * self.unscale
            finite = ops.logical_and(finite, ops.isfinite(norm))
            if self.clip > 0:
                scale = scale * ops.minimum(ops.ones_like(norm), self.clip / (norm + 1e-6))
        if finite:
            finite = ops.depend(finite, self.optimizer(grads, rate, scale))
        return norm, finite


class TrainStep:
    """One batch: its gradients are added up over optim.accumulate batches, and then over the processes; the last of them updates the weights."""

    def __init__(self, network: nn.Cell, loss: nn.Cell, optimizer: nn.Cell, config: OptimConfig, loss_scale: float = 1.0, processes: int = 1):
        sums = optimizer.weights.clone(prefix="gradient_sum", init="zeros") if config.accumulate > 1 else None
        self.gradients = Gradients(network, loss, optimizer.weights, loss_scale)
        self.accumulate = Accumulate(sums) if sums is not None else None
        self.update = Update(optimizer, config.grad_clip, loss_scale, processes, sums)
        self.finite, self.first = np.ones(1, np.float32), True
        self.shapes: set[tuple] = set()

    def __call__(self, rate: float, update: bool, *inputs: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """rate: learning rate; update: whether this batch is the last of an update; inputs: the batch's arrays.

        -> the loss's numbers (K,), gradient norm or 0 where it is not needed, whether all was finite.
        """
        metrics, finite, grads = self.gradients(*(Tensor(x) for x in inputs))
        self.finite = np.minimum(self.finite, finite.asnumpy())
        if self.accumulate is not None:
            self.accumulate(Tensor(np.array([self.first], np.float32)), *grads)
            self.first, grads = update, ()
        norm, finite = 0.0, bool(self.finite[0])
        if update:
            norm, finite = (x.asnumpy() for x in self.update(Tensor(rate, ms.float32), Tensor(self.finite), *grads))
            self.finite = np.ones(1, np.float32)
        self._release(inputs)
        return metrics.asnumpy(), float(norm), bool(finite)

    def is_new(self, inputs) -> bool:
        """Whether a graph has to be compiled for a batch of these shapes."""
        return tuple(x.shape for x in inputs) not in self.shapes

    def _release(self, inputs) -> None:
        """Gives back what the compilation of a graph has left behind."""
        if self.is_new(inputs):
            self.shapes.add(tuple(x.shape for x in inputs))
            release_memory()
