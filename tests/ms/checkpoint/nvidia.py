"""A Jasper with dense residuals as NVIDIA's code and NeMo compute it, under their parameter names; written for the tests from the paper."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LABELS = [" ", *"abcdefghijklmnopqrstuvwxyz", "'"]  # of NVIDIA's English models; the blank is the row after them
BLOCKS = [  # filters, width, sub-blocks, stride, dilation, dense
    (5, 5, 1, 2, 1, False),
    (6, 3, 2, 1, 1, True),
    (6, 3, 2, 1, 1, True),
    (8, 5, 2, 1, 1, True),
    (8, 5, 2, 1, 1, True),
    (7, 5, 1, 1, 2, False),
    (9, 1, 1, 1, 1, False),
]
MELS = 10
OURS = "repeat=2 blocks=2 filters=[6,8] kernels=[3,5] dropouts=[0,0] prologue_filters=5 prologue_kernel=5 epilogue_filters=[7,9] epilogue_kernel=5"


class Conv(nn.Conv1d):
    """NVIDIA's: the weight is the module's own. Frames beyond an utterance are 0 before every convolution."""

    def __init__(self, inputs, outputs, width, stride=1, dilation=1):
        super().__init__(inputs, outputs, width, stride, width // 2 * dilation, dilation, bias=False)


class NemoConv(nn.Module):
    """NeMo's: the weight is that of a module `conv`."""

    def __init__(self, *shape):
        super().__init__()
        self.conv = Conv(*shape)

    def forward(self, x):
        return self.conv(x)


class Block(nn.Module):
    def __init__(self, nemo, inputs, panes, filters, width, repeat, stride, dilation):
        super().__init__()
        conv, layers = NemoConv if nemo else Conv, nn.ModuleList()
        for i in range(repeat):
            layers += [conv(inputs if i == 0 else filters, filters, width, stride, dilation), norm(filters)]
            layers += [nn.ReLU(), nn.Dropout(0.2)] if i < repeat - 1 else []
        setattr(self, "mconv" if nemo else "conv", layers)
        self.layers, self.kinds = lambda: layers, (Conv, NemoConv)
        self.res = nn.ModuleList(nn.ModuleList([conv(pane, filters, 1), norm(filters)]) for pane in panes)

    def forward(self, received: list[Tensor], lengths: Tensor) -> tuple[Tensor, Tensor]:
        """received: the inputs of this and all dense blocks before it, (B, C, T) each."""
        x, at = received[-1], lengths
        for layer in self.layers():
            if isinstance(layer, self.kinds):
                x = masked(x, at)
                x, at = layer(x), torch.div(at - 1, stride(layer), rounding_mode="floor") + 1
            else:
                x = layer(x)
        for (conv, normed), pane in zip(self.res, received, strict=False):
            x = x + normed(conv(masked(pane, lengths)))
        return F.relu(x), at


class Network(nn.Module):
    """Features (B, F, T), lengths (B,) -> log-probabilities (B, T', labels and blank), lengths. nemo: whose names."""

    def __init__(self, nemo: bool, classes: int = len(LABELS) + 1):
        super().__init__()
        inputs, panes, blocks = MELS, [], nn.ModuleList()
        for filters, width, repeat, step, dilation, dense in BLOCKS:
            panes += [inputs] if dense else []
            blocks.append(Block(nemo, inputs, list(panes) if dense else [], filters, width, repeat, step, dilation))
            inputs = filters
        self.encoder, self.decoder = nn.Module(), nn.Module()
        setattr(self.encoder, "encoder" if nemo else "layers", blocks)
        setattr(self.decoder, "decoder_layers" if nemo else "layers", nn.Sequential(nn.Conv1d(inputs, classes, 1)))
        self.blocks, self.output = lambda: blocks, lambda x: self.decoder.get_submodule("decoder_layers" if nemo else "layers")(x)

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        received, x = [], feats
        for block, (*_, dense) in zip(self.blocks(), BLOCKS, strict=True):
            received += [x] if dense else []
            x, lengths = block(received if dense else [x], lengths)
        return F.log_softmax(self.output(x).transpose(1, 2), -1), lengths


def norm(channels: int) -> nn.Module:
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.1)


def stride(layer: nn.Module) -> int:
    return (layer.conv if isinstance(layer, NemoConv) else layer).stride[0]


def masked(x: Tensor, lengths: Tensor) -> Tensor:
    return x * (torch.arange(x.shape[2])[None] < lengths[:, None])[:, None]


def make_network(nemo: bool = False, seed: int = 0) -> Network:
    """A network with random weights, and statistics of noise, so that its outputs are letters of all kinds."""
    torch.manual_seed(seed)
    network = Network(nemo).train()
    for name, parameter in network.named_parameters():
        nn.init.normal_(parameter, float(name.endswith("weight") and parameter.ndim == 1), 0.3 if parameter.ndim == 1 else 1.0)
    with torch.no_grad():
        for _ in range(30):
            network(torch.randn(4, MELS, 100), torch.full((4,), 100))
    return network.eval()


def features(audio: Tensor, floor: float) -> Tensor:
    """(samples,) at 16 kHz -> (F, T): the log-mel features of NVIDIA's code (floor 1e-20) and NeMo (2^-24) without dither."""
    import librosa

    emphasised = torch.cat([audio[:1], audio[1:] - 0.97 * audio[:-1]])
    window = torch.hann_window(320, periodic=False)
    power = torch.stft(emphasised, 512, 160, 320, window, center=True, pad_mode="reflect", return_complex=True).abs() ** 2
    mel = torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=512, n_mels=MELS)) @ power[:, : -(-len(audio) // 160)]
    mel = torch.log(mel + floor)
    return (mel - mel.mean(1, keepdim=True)) / (mel.std(1, keepdim=True) + 1e-5)


def text_of(log_probs: Tensor, labels: list[str]) -> str:
    """The labels of the best path without repetitions and blanks (the row after the labels)."""
    best = torch.unique_consecutive(log_probs.argmax(-1)).tolist()
    return "".join(labels[i] for i in best if i < len(labels))


def nemo_config(**preprocessor) -> dict:
    """The sections of a model_config.yaml that describe the network above, as in NeMo's jasper_10x5dr.yaml."""
    blocks = [
        {"filters": filters, "kernel": [width], "repeat": repeat, "stride": [step], "dilation": [dilation], "dropout": 0.2, "residual": dense}
        | ({"residual_dense": True} if dense else {})
        for filters, width, repeat, step, dilation, dense in BLOCKS
    ]
    features = {"normalize": "per_feature", "window_size": 0.02, "sample_rate": 16000, "window_stride": 0.01, "window": "hann", "features": MELS}
    return {
        "sample_rate": 16000,
        "labels": LABELS,
        "preprocessor": features | {"n_fft": 512, "frame_splicing": 1, "dither": 1e-5} | preprocessor,
        "encoder": {"feat_in": MELS, "activation": "relu", "conv_mask": True, "jasper": blocks},
        "decoder": {"feat_in": 9, "num_classes": 28, "vocabulary": LABELS},
    }
