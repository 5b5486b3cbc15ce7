"""The compiled training step: forward, loss, gradients, accumulation, clipping, check and update in one graph."""

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from asrlib.ms.kernels import in_place, kernel
from asrlib.ms.losses import ctc_loss
from asrlib.utils.experiment import OptimConfig

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


class _Scaled(nn.Cell):
    """A loss times the loss scale of mixed precision."""

    def __init__(self, loss: nn.Cell, factor: float):
        super().__init__(auto_prefix=False)
        self.loss, self.factor = loss, factor

    def construct(self, *inputs):
        loss, metrics = self.loss(*inputs)
        return loss * self.factor, metrics


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


class TrainStep(nn.Cell):
    """One batch: its gradients are added up over optim.accumulate batches, and then over the processes; the last of them updates the weights.

    loss: a cell from a batch's arrays to its share of an update's loss () and numbers to report (K,).

    An update whose loss or gradient norm (where clipping or a loss scale needs it) is not finite is left out: weights and optimizer stay as they were. So do the moving statistics of
    batch normalisation, which the forward pass writes, when the loss is not finite.
    """

    def __init__(self, network: nn.Cell, loss: nn.Cell, optimizer: nn.Cell, config: OptimConfig, loss_scale: float = 1.0, processes: int = 1):
        super().__init__(auto_prefix=False)
        self.processes, self.all_reduce = processes, ops.AllReduce() if processes > 1 else None
        self.loss = _Scaled(loss, loss_scale)
        self.optimizer, self.weights = optimizer, optimizer.weights
        self.clip = config.grad_clip
        self.unscale, self.needs_norm = 1.0 / loss_scale, config.grad_clip > 0 or loss_scale != 1.0
        self.value_and_grad = ops.value_and_grad(self.loss, None, self.weights, has_aux=True)
        self.map, self.square_sum = ops.HyperMap(), _square_sum()
        self.sums = self.weights.clone(prefix="gradient_sum", init="zeros") if config.accumulate > 1 else None
        self.statistics = ParameterTuple(p for p in network.get_parameters() if not p.requires_grad)
        self.former = self.statistics.clone(prefix="former")
        self.add_to, self.first = _add_to(), Parameter(Tensor([1.0], ms.float32), name="first_of_update", requires_grad=False)
        self.finite_so_far = Parameter(Tensor(True), name="finite_so_far", requires_grad=False)
        self.set_train()

    def construct(self, rate, update: bool, *inputs):
        """-> the loss's numbers (K,), gradient norm () or 0 where it is not needed, whether all was finite () bool.

        inputs: the batch (never as one tuple, which would be a constant of the graph, compiled anew for every batch); rate: learning rate () float32; update: a plain bool, so that each of its two values is a graph of its own.
        """
        first = ops.depend(inputs[0], self.map(_copy, self.former, self.statistics))
        (loss, metrics), grads = self.value_and_grad(first, *inputs[1:])
        norm, finite = ops.zeros_like(loss), ops.isfinite(loss)
        finite = ops.depend(finite, self.map(ops.partial(_restore, finite), self.statistics, self.former))
        if self.sums is not None:
            finite = ops.depend(ops.logical_and(finite, self.finite_so_far), self.map(ops.partial(self.add_to, self.first), self.sums, grads))
            finite = ops.depend(finite, ops.assign(self.first, ops.ones_like(self.first) * float(update)))
            grads = self.sums
        if update:
            norm, finite = self._apply(grads, rate, norm, finite)
            if self.sums is not None:
                finite = ops.depend(finite, ops.assign(self.finite_so_far, Tensor(True)))
        elif self.sums is not None:
            finite = ops.depend(finite, ops.assign(self.finite_so_far, finite))
        return metrics, norm, finite

    def _apply(self, grads, rate, norm, finite):
        if self.all_reduce is not None:
            grads = self.map(self.all_reduce, grads)
            finite = self.all_reduce(finite.astype(ms.float32).reshape(1)).reshape(()) > self.processes - 0.5
        scale = ops.ones_like(norm) * self.unscale
        if self.needs_norm:
            norm = ops.sqrt(ops.addn(self.map(self.square_sum, grads))).reshape(()) * self.unscale
            finite = ops.logical_and(finite, ops.isfinite(norm))
            if self.clip > 0:
                scale = scale * ops.minimum(ops.ones_like(norm), self.clip / (norm + 1e-6))
        if finite:
            finite = ops.depend(finite, self.optimizer(grads, rate, scale))
        return norm, finite
