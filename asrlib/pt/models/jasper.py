"""PyTorch twin of asrlib.ms.models.jasper: the same submodules in the same order."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrlib.config.models.jasper import JasperConfig


class Jasper(nn.Module):
    """See the MindSpore model; input_dim: bins of the features, vocab_size: labels with the blank."""

    def __init__(self, config: JasperConfig, input_dim: int, vocab_size: int):
        super().__init__()
        blocks = [Block(input_dim, config.prologue_filters, config.prologue_kernel, 1, config.prologue_dropout, stride=2)]
        panes = [config.prologue_filters]
        for filters, kernel, dropout in zip(config.filters, config.kernels, config.dropouts, strict=True):
            for _ in range(config.blocks):
                blocks.append(Block(panes[-1], filters, kernel, config.repeat, dropout, panes=tuple(panes)))
                panes.append(filters)
        first, second = config.epilogue_filters
        blocks.append(Block(panes[-1], first, config.epilogue_kernel, 1, config.epilogue_dropout, dilation=2))
        blocks.append(Block(first, second, 1, 1, config.epilogue_dropout))
        self.blocks = nn.ModuleList(blocks)
        self.decoder = nn.Conv1d(second, vocab_size, 1)

    def forward(self, feats: Tensor, feat_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """feats (B, T, F), feat_lengths (B,) -> logits (T', B, V), lengths (B,)."""
        return self.layer_outputs(feats, feat_lengths)[-1], (feat_lengths - 1) // 2 + 1

    def layer_outputs(self, feats: Tensor, feat_lengths: Tensor) -> list[Tensor]:
        """Outputs of every block (B, T', C) and the logits (T', B, V), as the MindSpore model gives them."""
        x = (feats * _mask(feat_lengths, feats.shape[1])[..., None]).transpose(1, 2)
        mask = _mask((feat_lengths - 1) // 2 + 1, (feats.shape[1] - 1) // 2 + 1)[:, None]
        outputs, received = [], []
        for block in self.blocks:
            if block.dense:
                received.append(x)
            x = block(x, mask, received if block.dense else [])
            outputs.append(x)
        return [*(x.transpose(1, 2) for x in outputs), self.decoder(x).permute(2, 0, 1)]


class Block(nn.Module):
    def __init__(self, inputs, filters, kernel, repeat, dropout, stride=1, dilation=1, panes=()):
        super().__init__()
        sizes = [inputs] + [filters] * (repeat - 1)
        self.convs = nn.ModuleList(nn.Conv1d(size, filters, kernel, stride, dilation * (kernel // 2), dilation, bias=False) for size in sizes)
        self.norms = nn.ModuleList(MaskedBatchNorm(filters) for _ in sizes)
        self.dense, self.dropout = bool(panes), nn.Dropout(dropout)
        if panes:
            self.res_convs = nn.ModuleList(nn.Conv1d(size, filters, 1, bias=False) for size in panes)
            self.res_norms = nn.ModuleList(MaskedBatchNorm(filters) for _ in panes)

    def forward(self, x: Tensor, mask: Tensor, received: list[Tensor]) -> Tensor:
        """x (B, C, T), mask (B, 1, T')."""
        for conv, norm in zip(self.convs[:-1], self.norms[:-1], strict=True):
            x = self.dropout(F.relu(norm(conv(x), mask))) * mask
        x = self.norms[-1](self.convs[-1](x), mask)
        for i, pane in enumerate(received):
            x = x + self.res_norms[i](self.res_convs[i](pane), mask)
        return self.dropout(F.relu(x)) * mask


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (B, C, T) that ignores padding."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-3, momentum=0.1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if not self.training or bool(mask.all()):
            return super().forward(x)
        inside = mask[:, 0] > 0
        y = torch.zeros_like(x.transpose(1, 2))
        y[inside] = super().forward(x.transpose(1, 2)[inside])
        return y.transpose(1, 2)


def _mask(lengths: Tensor, steps: int) -> Tensor:
    """(B, steps): 1 inside the utterance."""
    return (torch.arange(steps, device=lengths.device) < lengths[:, None]).float()


Network = Jasper
