"""The compiled training step: forward, loss, gradients, accumulation, clipping, check and update in one graph."""

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from asrlib.ms.losses import ctc_loss
from asrlib.utils.experiment import OptimConfig

_add_to = ops.MultitypeFuncGraph("add_to")
_clear = ops.MultitypeFuncGraph("clear")
_copy = ops.MultitypeFuncGraph("copy")
_restore = ops.MultitypeFuncGraph("restore")
_scaled = ops.MultitypeFuncGraph("scaled")
_square_sum = ops.MultitypeFuncGraph("square_sum")


@_add_to.register("Tensor", "Tensor")
def _add_tensor(total, grad):
    return ops.assign_add(total, grad)


@_clear.register("Tensor", "Tensor")
def _clear_tensor(total, grad):
    return ops.assign(total, ops.zeros_like(grad))


@_copy.register("Tensor", "Tensor")
def _copy_tensor(former, statistic):
    return ops.assign(former, statistic)


@_restore.register("Tensor", "Tensor", "Tensor")
def _restore_tensor(finite, statistic, former):
    return ops.assign(statistic, ops.select(finite, statistic, former))


@_scaled.register("Tensor", "Tensor")
def _scale_tensor(factor, grad):
    return grad * factor


@_square_sum.register("Tensor")
def _square_sum_tensor(grad):
    flat = grad.reshape(1, -1)
    return ops.MatMul(transpose_b=True)(flat, flat).reshape(())  # no array of squares is written


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
        self.map = ops.HyperMap()
        self.sums = self.weights.clone(prefix="gradient_sum", init="zeros") if config.accumulate > 1 else None
        self.statistics = ParameterTuple(p for p in network.get_parameters() if not p.requires_grad)
        self.former = self.statistics.clone(prefix="former")
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
            finite = ops.logical_and(finite, self.finite_so_far)
            grads = self.map(_add_to, self.sums, grads)
        if update:
            norm, finite = self._apply(grads, rate, norm, finite)
            if self.sums is not None:
                finite = ops.depend(finite, self.map(_clear, self.sums, grads))
                finite = ops.depend(finite, ops.assign(self.finite_so_far, Tensor(True)))
        elif self.sums is not None:
            finite = ops.depend(finite, ops.assign(self.finite_so_far, finite))
            finite = ops.depend(finite, grads)
        return metrics, norm, finite

    def _apply(self, grads, rate, norm, finite):
        if self.all_reduce is not None:
            grads = self.map(self.all_reduce, grads)
            finite = self.all_reduce(finite.astype(ms.float32).reshape(1)).reshape(()) > self.processes - 0.5
        if self.needs_norm:
            norm = ops.sqrt(ops.addn(self.map(_square_sum, grads))) * self.unscale
            finite = ops.logical_and(finite, ops.isfinite(norm))
            factor = ops.ones_like(norm) * self.unscale
            if self.clip > 0:
                factor = factor * ops.minimum(ops.ones_like(norm), self.clip / (norm + 1e-6))
            grads = self.map(ops.partial(_scaled, factor), grads)
        if finite:
            finite = ops.depend(finite, self.optimizer(grads, rate))
        return norm, finite
