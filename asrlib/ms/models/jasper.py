"""Jasper BxR with dense residuals (Li et al. 2019) and masked convolutions: an utterance has the same outputs alone and in a padded batch.

Activations are (batch, time, channels), as in asrlib.ms.models.hubert.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.config.models.jasper import JasperConfig
from asrlib.ms.layers.broadcast import BiasAdd, RowScale
from asrlib.ms.layers.common import Dropout, time_mask, uniform
from asrlib.ms.layers.convolution import Conv
from asrlib.ms.layers.norms import MaskedBatchNorm

EPSILON = 1e-3  # of batch normalisation
SEEDS = 16  # from one block to the next: more than sub-blocks, each of which has its own dropout


class Jasper(nn.Cell):
    """Prologue, B blocks of R sub-blocks, two epilogues, projection to the labels.

    Dense residuals: to the output of every block are added the inputs of this block and all blocks before it, each through its own 1x1 convolution
    and batch normalisation.
    """

    def __init__(self, config: JasperConfig, input_dim: int, vocab_size: int, seed: int = 1):
        super().__init__()
        rng = np.random.default_rng(seed)
        blocks = [Block(input_dim, config.prologue_filters, config.prologue_kernel, 1, config.prologue_dropout, rng, stride=2)]
        panes = [config.prologue_filters]
        for filters, width, dropout in zip(config.filters, config.kernels, config.dropouts, strict=True):
            for _ in range(config.blocks):
                blocks.append(Block(panes[-1], filters, width, config.repeat, dropout, rng, panes=tuple(panes)))
                panes.append(filters)
        first, second = config.epilogue_filters
        blocks.append(Block(panes[-1], first, config.epilogue_kernel, 1, config.epilogue_dropout, rng, dilation=2))
        blocks.append(Block(first, second, 1, 1, config.epilogue_dropout, rng))
        self.blocks = nn.CellList(blocks)
        self.decoder, self.mask = Projection(second, vocab_size, rng), RowScale()

    def construct(self, feats, feat_lengths, seed=0):
        """feats (B, T, F), feat_lengths (B,) int32, seed () int32 of dropout -> logits (T', B, V), lengths (B,) int32; T' = (T - 1) // 2 + 1."""
        return self.layer_outputs(feats, feat_lengths, seed)[-1], output_lengths(feat_lengths)

    def layer_outputs(self, feats, feat_lengths, seed=0):
        """Outputs of every block (B, T', C), 0 in the padding, and the logits (T', B, V), for the layer comparison."""
        x = self.mask(feats, time_mask(feat_lengths, feats.shape[1]).expand_dims(2))
        lengths = output_lengths(feat_lengths)
        mask = time_mask(lengths, (feats.shape[1] - 1) // 2 + 1).expand_dims(2)
        x = self.blocks[0](x, mask, seed)
        outputs, received = (x,), ()
        for i, block in enumerate(self.blocks[1:], 1):
            if block.dense:
                received += (x,)
            x = block(x, mask, seed + SEEDS * i, *received) if block.dense else block(x, mask, seed + SEEDS * i)
            outputs += (x,)
        return (*outputs, self.decoder(x).swapaxes(0, 1).astype(ms.float32))


class Block(nn.Cell):
    """R times convolution, batch normalisation, ReLU and dropout; residuals are added before the last ReLU. panes: channels of the residuals."""

    def __init__(self, inputs, filters, width, repeat, dropout, rng, stride=1, dilation=1, panes=()):
        super().__init__()
        sizes = [inputs] + [filters] * (repeat - 1)
        self.convs = nn.CellList([Conv(size, filters, width, rng, stride, dilation) for size in sizes])
        self.norms = nn.CellList([MaskedBatchNorm(filters, EPSILON) for _ in sizes])
        self.dense = bool(panes)
        if panes:
            self.res_convs = nn.CellList([Conv(size, filters, 1, rng) for size in panes])
            self.res_norms = nn.CellList([MaskedBatchNorm(filters, EPSILON) for _ in panes])
        self.dropout, self.mask = Dropout(dropout), RowScale()

    def construct(self, x, mask, seed, *received):
        """x (B, T, C), mask (B, T', 1), seed () int32, inputs of the residuals (B, T', C) each -> (B, T', filters), 0 in the padding."""
        last = len(self.convs) - 1
        for i in range(last):
            x = self.mask(self.dropout(ops.relu(self.norms[i](self.convs[i](x), mask)), seed + i), mask)
        x = self.norms[last](self.convs[last](x), mask)
        for i, pane in enumerate(received):
            x = x + self.res_norms[i](self.res_convs[i](pane), mask)
        return self.mask(self.dropout(ops.relu(x), seed + last), mask)


class Projection(nn.Cell):
    """The 1x1 convolution to the labels; weight (V, C, 1), bias (V,)."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator):
        super().__init__()
        self.weight = Parameter(uniform(rng, math.sqrt(6 / (inputs + outputs)), (outputs, inputs, 1)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(outputs, np.float32)), name="bias")
        self.product, self.add = ops.MatMul(transpose_b=True), BiasAdd()

    def construct(self, x):
        outputs, inputs, _ = self.weight.shape
        return self.add(self.product(x.reshape(-1, inputs), self.weight.reshape(outputs, inputs)), self.bias).reshape(x.shape[0], x.shape[1], outputs)


def output_lengths(feat_lengths):
    """Frames after the strided convolution: (T - 1) // 2 + 1."""
    return ((feat_lengths - 1) // 2 + 1).astype(ms.int32)


Network = Jasper
