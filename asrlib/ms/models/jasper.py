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
    """Convolution over time without bias, padded by dilation * (kernel // 2) at both ends; weight (O, I, kernel) as in PyTorch, Xavier uniform."""

    def __init__(self, inputs: int, outputs: int, kernel: int, rng: np.random.Generator, stride: int = 1, dilation: int = 1):
        super().__init__()
        bound = math.sqrt(6 / ((inputs + outputs) * kernel))
        self.weight = Parameter(uniform(rng, bound, (outputs, inputs, kernel)), name="weight")
        self.product = PatchProduct(kernel, stride, dilation)
        self.dtype = ms.float32

    def construct(self, x):
        return self.product(x.astype(self.dtype), self.weight.transpose(2, 1, 0).astype(self.dtype)).astype(ms.float32)


class PatchProduct(nn.Cell):
    """A convolution over time as one product of patches with a matrix, several times faster than MindSpore's on CPUs. Holds no parameters.

    x (B, T, I), weight (width, I, O) -> (B, T', O). The gradient makes the patches again instead of keeping them: they take `width` times the memory of x.
    They are made by a compiled kernel in training, where there is one; models that are exported have plain operators.
    """

    def __init__(self, width: int, stride: int, dilation: int):
        super().__init__()
        self.width, self.stride, self.dilation = width, stride, dilation
        self.transposed = ops.MatMul(transpose_a=True)
        self.forward, self.backward = _patches_kernel(width, stride, dilation), _patches_kernel(width, 1, dilation)

    def construct(self, x, weight):
        frames = (x.shape[1] - 1) // self.stride + 1
        patches = self._patches(x, frames, self.stride)
        return ops.matmul(patches, weight.reshape(-1, weight.shape[2])).reshape(x.shape[0], frames, weight.shape[2])

    def bprop(self, x, weight, out, dout):
        batch, steps, inputs = x.shape
        outputs = weight.shape[2]
        gradient = dout.reshape(-1, outputs)
        of_weight = self.transposed(self._patches(x, dout.shape[1], self.stride), gradient).reshape(weight.shape)
        if self.stride == 1:  # the same convolution with the kernel reversed and its matrices transposed
            reverse = weight[::-1].swapaxes(1, 2).reshape(-1, inputs)
            return ops.matmul(self._patches(dout, steps, 1), reverse).reshape(x.shape), of_weight
        spread = ops.zeros((batch, dout.shape[1], self.stride - 1, outputs), dout.dtype)
        spread = ops.concat((dout.expand_dims(2), spread), 2).reshape(batch, -1, outputs)
        spread = spread[:, :steps] if spread.shape[1] >= steps else ops.concat((spread, ops.zeros((batch, steps - spread.shape[1], outputs), dout.dtype)), 1)
        reverse = weight[::-1].swapaxes(1, 2).reshape(-1, inputs)
        return ops.matmul(self._patches(spread, steps, 1), reverse).reshape(x.shape), of_weight

    def _patches(self, x, frames, stride):
        """(B * frames, width * I)."""
        batch, _, inputs = x.shape
        if self.width == 1 and stride == 1:
            return x.reshape(-1, inputs)
        made = self.forward if stride == self.stride else self.backward
        if self.training and made is not None and x.dtype == ms.float32:
            return made(x, Tensor([self.width, stride, self.dilation, self.dilation * (self.width // 2)], ms.int32)).reshape(batch * frames, -1)
        edge = ops.zeros((batch, self.dilation * (self.width // 2), inputs), x.dtype)
        x = ops.concat((edge, x, edge), 1)
        parts = ()
        for k in range(self.width):
            first = k * self.dilation
            parts += (x[:, first : first + (frames - 1) * stride + 1 : stride],)
        return ops.concat(parts, -1).reshape(batch * frames, -1)


def _patches_kernel(width: int, stride: int, dilation: int):
    """x (B, T, I), geometry (4,) int32 -> patches (B, T', width * I): as many frames as the convolution padded by dilation * (width // 2) gives."""

    def infer(x, geometry):  # of shapes or of types
        return [x[0], (x[1] - 1) // stride + 1, width * x[2]] if isinstance(x, (list, tuple)) else x

    return compiled("Patches", infer)


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
