"""Jasper BxR with dense residuals (Li et al. 2019), its convolutions masked: a padded batch gives each utterance the outputs it has alone.

Activations are (batch, time, channels), as in asrlib.ms.models.hubert.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.ms.kernels import kernel as compiled
from asrlib.ms.layers import MaskedBatchNorm, time_mask, uniform
from asrlib.utils.experiment import JasperConfig

EPSILON = 1e-3  # of batch normalisation


class Jasper(nn.Cell):
    """Prologue, B blocks of R sub-blocks, two epilogues, projection to the labels.

    Every block receives the sum of what all blocks before received, each through a 1x1 convolution and batch normalisation of its own.
    """

    def __init__(self, config: JasperConfig, input_dim: int, vocab_size: int, seed: int = 1):
        super().__init__()
        rng = np.random.default_rng(seed)
        blocks = [Block(input_dim, config.prologue_filters, config.prologue_kernel, 1, config.prologue_dropout, rng, stride=2)]
        panes = [config.prologue_filters]
        for filters, kernel, dropout in zip(config.filters, config.kernels, config.dropouts, strict=True):
            for _ in range(config.blocks):
                blocks.append(Block(panes[-1], filters, kernel, config.repeat, dropout, rng, panes=tuple(panes)))
                panes.append(filters)
        first, second = config.epilogue_filters
        blocks.append(Block(panes[-1], first, config.epilogue_kernel, 1, config.epilogue_dropout, rng, dilation=2))
        blocks.append(Block(first, second, 1, 1, config.epilogue_dropout, rng))
        self.blocks = nn.CellList(blocks)
        self.decoder = Projection(second, vocab_size, rng)

    def construct(self, feats, feat_lengths):
        """feats (B, T, F), feat_lengths (B,) int32 -> logits (T', B, V), lengths (B,) int32; T' = (T - 1) // 2 + 1."""
        return self.layer_outputs(feats, feat_lengths)[-1], output_lengths(feat_lengths)

    def layer_outputs(self, feats, feat_lengths):
        """Outputs of every block (B, T', C), 0 in the padding, and the logits (T', B, V), for the layer comparison."""
        x = feats * time_mask(feat_lengths, feats.shape[1]).expand_dims(2)
        lengths = output_lengths(feat_lengths)
        mask = time_mask(lengths, (feats.shape[1] - 1) // 2 + 1).expand_dims(2)
        x = self.blocks[0](x, mask)
        outputs, received = (x,), ()
        for block in self.blocks[1:]:
            if block.dense:
                received += (x,)
            x = block(x, mask, *received) if block.dense else block(x, mask)
            outputs += (x,)
        return (*outputs, self.decoder(x).swapaxes(0, 1).astype(ms.float32))


class Block(nn.Cell):
    """R times convolution, batch normalisation, ReLU and dropout; residuals are added before the last ReLU."""

    def __init__(self, inputs, filters, kernel, repeat, dropout, rng, stride=1, dilation=1, panes=()):
        super().__init__()
        sizes = [inputs] + [filters] * (repeat - 1)
        self.convs = nn.CellList([Conv(size, filters, kernel, rng, stride, dilation) for size in sizes])
        self.norms = nn.CellList([MaskedBatchNorm(filters, EPSILON) for _ in sizes])
        self.dense = bool(panes)
        if panes:
            self.res_convs = nn.CellList([Conv(size, filters, 1, rng) for size in panes])
            self.res_norms = nn.CellList([MaskedBatchNorm(filters, EPSILON) for _ in panes])
        self.dropout = nn.Dropout(p=dropout)

    def construct(self, x, mask, *received):
        """x (B, T, C), mask (B, T', 1), what the blocks before received (B, T', C) each -> (B, T', filters), 0 in the padding."""
        last = len(self.convs) - 1
        for i in range(last):
            x = self.dropout(ops.relu(self.norms[i](self.convs[i](x), mask))) * mask
        x = self.norms[last](self.convs[last](x), mask)
        for i, pane in enumerate(received):
            x = x + self.res_norms[i](self.res_convs[i](pane), mask)
        return self.dropout(ops.relu(x)) * mask


class Conv(nn.Cell):
    """Convolution over time without bias, padded by dilation * (width // 2) at both ends; kernel (width * I, O), Xavier uniform."""

    def __init__(self, inputs: int, outputs: int, width: int, rng: np.random.Generator, stride: int = 1, dilation: int = 1):
        super().__init__()
        bound = math.sqrt(6 / ((inputs + outputs) * width))
        self.kernel = Parameter(uniform(rng, bound, (width * inputs, outputs)), name="kernel")
        self.product = PatchProduct(width, stride, dilation)
        self.dtype = ms.float32

    def construct(self, x):
        return self.product(x.astype(self.dtype), self.kernel.astype(self.dtype)).astype(ms.float32)


class PatchProduct(nn.Cell):
    """A convolution over time as one product of patches with a matrix, several times faster than MindSpore's on CPUs. Holds no parameters.

    x (B, T, I), kernel (width * I, O) -> (B, T', O); a kernel of three axes would be copied wherever it takes another shape.
    The gradient makes the patches again instead of keeping them: they take `width` times the memory of x.
    They are made by a compiled kernel in training, where there is one; models that are exported have plain operators.
    """

    def __init__(self, width: int, stride: int, dilation: int):
        super().__init__()
        self.width, self.stride, self.dilation, self.before = width, stride, dilation, dilation * (width // 2)
        self.of_kernel, self.of_patches = ops.MatMul(transpose_a=True), ops.MatMul(transpose_b=True)
        self.gather = compiled("Patches", lambda x, _: [x[0], (x[1] - 1) // stride + 1, width * x[2]] if isinstance(x, (list, tuple)) else x)
        self.spread = compiled("PatchesGrad", lambda gradient, x, _: x)

    def construct(self, x, kernel):
        frames = (x.shape[1] - 1) // self.stride + 1
        return ops.matmul(self._patches(x), kernel).reshape(x.shape[0], frames, kernel.shape[1])

    def bprop(self, x, kernel, out, dout):
        gradient = dout.reshape(-1, kernel.shape[1])
        return self._patches_gradient(self.of_patches(gradient, kernel), x), self.of_kernel(self._patches(x), gradient)

    def _patches(self, x):
        """x (B, T, I) -> (B * T', width * I)."""
        batch, steps, inputs = x.shape
        if self.width == 1 and self.stride == 1:
            return x.reshape(-1, inputs)
        if self.training and self.gather is not None and x.dtype == ms.float32:
            return self.gather(x, self._geometry()).reshape(-1, self.width * inputs)
        edge = ops.zeros((batch, self.before, inputs), x.dtype)
        x = ops.concat((edge, x, edge), 1)
        parts = ()
        for k in range(self.width):
            first = k * self.dilation
            parts += (x[:, first : first + (steps - 1) // self.stride * self.stride + 1 : self.stride],)
        return ops.concat(parts, -1).reshape(-1, self.width * inputs)

    def _patches_gradient(self, gradient, x):
        """(B * T', width * I) -> (B, T, I): of every frame the sum of its places in all patches."""
        batch, steps, inputs = x.shape
        if self.width == 1 and self.stride == 1:
            return gradient.reshape(x.shape)
        frames = (steps - 1) // self.stride + 1
        if self.spread is not None and x.dtype == ms.float32:
            return self.spread(gradient.reshape(batch, frames, -1), x, self._geometry())
        gradient = gradient.reshape(batch, frames, 1, self.width, inputs)
        gradient = ops.concat((gradient, ops.zeros((batch, frames, self.stride - 1, self.width, inputs), x.dtype)), 2) if self.stride > 1 else gradient
        gradient = gradient.reshape(batch, frames * self.stride, self.width, inputs)[:, : (frames - 1) * self.stride + 1]
        length = steps + 2 * self.before
        parts = ()
        for k in range(self.width):
            before = k * self.dilation
            after = length - before - gradient.shape[1]
            parts += (ops.concat((ops.zeros((batch, before, inputs), x.dtype), gradient[:, :, k], ops.zeros((batch, after, inputs), x.dtype)), 1),)
        return ops.addn(parts)[:, self.before : self.before + steps]

    def _geometry(self):
        return Tensor([self.width, self.stride, self.dilation, self.before], ms.int32)


class Projection(nn.Cell):
    """The 1x1 convolution to the labels; weight (V, C, 1), bias (V,)."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator):
        super().__init__()
        self.weight = Parameter(uniform(rng, math.sqrt(6 / (inputs + outputs)), (outputs, inputs, 1)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(outputs, np.float32)), name="bias")
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, x):
        outputs, inputs, _ = self.weight.shape
        return (self.product(x.reshape(-1, inputs), self.weight.reshape(outputs, inputs)) + self.bias).reshape(x.shape[0], x.shape[1], outputs)


def output_lengths(feat_lengths):
    """Frames after the strided convolution: (T - 1) // 2 + 1."""
    return ((feat_lengths - 1) // 2 + 1).astype(ms.int32)
