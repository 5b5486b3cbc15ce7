"""PyTorch twin of asrlib.ms.models.deepspeech2: the same submodules in the same order."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrlib.config.models.deepspeech2 import DeepSpeech2Config

RNN = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class DeepSpeech2(nn.Module):
    """See the MindSpore model; input_dim: bins of the spectrogram, vocab_size: labels with the blank."""

    def __init__(self, config: DeepSpeech2Config, input_dim: int, vocab_size: int):
        super().__init__()
        channels, hidden = config.conv_channels, config.hidden_size
        self.conv1 = nn.Conv2d(1, channels, (41, 11), (2, 2), (20, 5), bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, (21, 11), (2, 1), (10, 5), bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        sizes = [channels * (((input_dim - 1) // 2 + 1 - 1) // 2 + 1)] + [hidden] * (config.hidden_layers - 1)
        self.rnns = nn.ModuleList(RNN[config.rnn_type](n, hidden, bidirectional=config.bidirectional) for n in sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in sizes[1:]) if config.rnn_norm == "layer" else None
        self.lookahead = None if config.bidirectional else Lookahead(hidden, config.lookahead_context)
        self.fc = nn.Linear(hidden, vocab_size, bias=False)

    def forward(self, feats: Tensor, feat_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """feats (B, T, F), feat_lengths (B,) -> logits (T', B, V), lengths (B,); T' = (T - 1) // 2 + 1."""
        return self.layer_outputs(feats, feat_lengths)[-1], (feat_lengths - 1) // 2 + 1

    def layer_outputs(self, feats: Tensor, feat_lengths: Tensor) -> list[Tensor]:
        """Outputs of every layer, as the MindSpore model gives them."""
        lengths = (feat_lengths - 1) // 2 + 1
        steps = (feats.shape[1] - 1) // 2 + 1
        mask = torch.arange(steps, device=feats.device) < lengths[:, None]
        mask4, mask3 = mask[:, None, None, :], mask.T[:, :, None]
        x = (feats * (torch.arange(feats.shape[1], device=feats.device) < feat_lengths[:, None])[:, :, None]).transpose(1, 2)[:, None]
        x = torch.tanh(self.bn1(self.conv1(x))) * mask4
        outputs = [x]
        x = torch.tanh(self.bn2(self.conv2(x))) * mask4
        outputs.append(x)
        x = x.flatten(1, 2).permute(2, 0, 1)  # (T', B, C * F')
        for i, rnn in enumerate(self.rnns):
            if self.norms is not None and i > 0:
                x = self.norms[i - 1](x)
            x = self._recurrent(rnn, x, lengths, steps) * mask3
            outputs.append(x)
        if self.lookahead is not None:
            x = self.lookahead(x * mask3).clamp(0.0, 20.0)
            outputs.append(x)
        outputs.append(self.fc(x))
        return outputs

    @staticmethod
    def _recurrent(rnn: nn.RNNBase, x: Tensor, lengths: Tensor, steps: int) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
        y, _ = pad_packed_sequence(rnn(packed)[0], total_length=steps)
        return y.unflatten(-1, (-1, rnn.hidden_size)).sum(2)


class Lookahead(nn.Module):
    """Row convolution over `context` future frames, per feature; (T, B, D) -> (T, B, D)."""

    def __init__(self, dim: int, context: int):
        super().__init__()
        self.context = context
        self.weight = nn.Parameter(torch.empty(dim, 1, context + 1).uniform_(-((context + 1) ** -0.5), (context + 1) ** -0.5))

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x.permute(1, 2, 0), (0, self.context))  # (B, D, T + context)
        return nn.functional.conv1d(padded, self.weight, groups=x.shape[-1]).permute(2, 0, 1)


Network = DeepSpeech2
