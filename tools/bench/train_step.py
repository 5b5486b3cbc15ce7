"""One training step of DeepSpeech2 or Jasper (forward, CTC, backward, update): asrlib compared with PyTorch and the published MindSpore network.

Cases: asrlib; torch, plain LSTMs without packing, the fastest in PyTorch, where padding enters the backward direction; torch_packed, the twin with
packed sequences; published, the network of MindSpore's model zoo as installed: no masks, oneDNN's choice of kernels, nn.Adam. Jasper has the cases
asrlib and torch:
  train_step.py --train_config conf/jasper.yaml --train_args model_conf.blocks=1 model_conf.repeat=3 optim.name=adamw --cases asrlib,torch
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import Bar, Case, chosen, load_bar, measure, parser, report

from asrlib.config.ctc import TrainConfig
from asrlib.config.families import load_train_config
from asrlib.utils.cli import run

ROOT = Path(__file__).resolve().parents[2]
LABELS = 29  # with the blank, the last


@dataclass(frozen=True)
class Shape:
    """A batch of utterances of equal length, so that packing saves nothing."""

    utterances: int
    frames: int
    labels: int

    def batch(self, dim: int) -> tuple[np.ndarray, ...]:
        """feats (B, T, dim), their lengths (B,), labels (B, L), their lengths (B,)."""
        rng = np.random.default_rng(0)
        feats = rng.normal(size=(self.utterances, self.frames, dim)).astype(np.float32)
        labels = rng.integers(0, LABELS - 1, (self.utterances, self.labels), dtype=np.int32)
        return feats, np.full(self.utterances, self.frames, np.int32), labels, np.full(self.utterances, self.labels, np.int32)


def asrlib_step(config: TrainConfig, shape: Shape) -> Callable[..., float]:
    """Returns a function that runs a step on a batch of this shape, or of the shape that it is called with."""
    import asrlib.ms  # noqa: F401  (caps oneDNN before mindspore is imported)

    import mindspore as ms  # isort: skip
    from asrlib.ms.models import make_network
    from asrlib.ms.objectives.ctc import CtcLoss
    from asrlib.ms.training.optim import make_optimizer
    from asrlib.ms.training.step import TrainStep

    ms.set_context(mode=ms.GRAPH_MODE)
    network = make_network(config, LABELS)
    step = TrainStep(network, CtcLoss(network, LABELS - 1), make_optimizer(network, config.optim), config.optim)

    def update(shape: Shape = shape) -> float:
        weights, share, seed = np.full(shape.utterances, 1 / shape.utterances, np.float32), np.array(1, np.float32), np.array(1, np.int32)
        return step(config.optim.learning_rate, True, *shape.batch(config.features.dim), weights, share, seed)[0][0]

    return update


def torch_step(config: TrainConfig, shape: Shape, packed: bool) -> Callable[..., float]:
    import torch

    from asrlib.pt.models import make_network
    from asrlib.pt.models.deepspeech2 import DeepSpeech2

    class Plain(DeepSpeech2):
        @staticmethod
        def _recurrent(rnn, x, lengths, steps):
            return rnn(x)[0].unflatten(-1, (-1, rnn.hidden_size)).sum(2)

    if config.model == "deepspeech2":
        network = (DeepSpeech2 if packed else Plain)(config.model_conf, config.features.dim, LABELS)
    else:
        network = make_network(config, LABELS)
    optimizer = _torch_optimizer(network, config)

    def step(shape: Shape = shape) -> float:
        feats, feat_lengths, labels, label_lengths = (torch.from_numpy(x) for x in shape.batch(config.features.dim))
        logits, lengths = network(feats, feat_lengths)
        log_probs = logits.log_softmax(-1)
        losses = torch.nn.functional.ctc_loss(log_probs, labels.long(), lengths.long(), label_lengths.long(), LABELS - 1, reduction="none")
        loss = losses.mean()
        optimizer.zero_grad()
        loss.backward()
        if config.optim.grad_clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.optim.grad_clip)
        optimizer.step()
        return loss.item()

    return step


def _torch_optimizer(network, config: TrainConfig):
    import torch

    optim = config.optim
    if optim.name == "sgd":
        return torch.optim.SGD(network.parameters(), optim.learning_rate, optim.momentum, weight_decay=optim.weight_decay)
    kind = torch.optim.Adam if optim.name == "adam" else torch.optim.AdamW
    return kind(network.parameters(), optim.learning_rate, optim.betas, optim.eps, optim.weight_decay, fused=True)  # fused: the fastest


def published_step(config: TrainConfig, shape: Shape) -> Callable[[], float]:
    """Conv [41,11] and [21,11], BatchNorm and tanh, summed bidirectional nn.LSTM; Adam with eps 1e-5 and loss scale 1024."""
    import mindspore as ms
    from mindspore import nn, ops

    class Network(nn.Cell):
        def __init__(self, channels: int, hidden: int, layers: int, dim: int):
            super().__init__()
            self.convolutions = nn.SequentialCell(
                nn.Conv2d(1, channels, (41, 11), (2, 2), "pad", (20, 20, 5, 5)),
                nn.BatchNorm2d(channels),
                nn.Tanh(),
                nn.Conv2d(channels, channels, (21, 11), (2, 1), "pad", (10, 10, 5, 5)),
                nn.BatchNorm2d(channels),
                nn.Tanh(),
            )
            sizes = [channels * (((dim - 1) // 2 + 1 - 1) // 2 + 1)] + [hidden] * (layers - 1)
            self.lstms = nn.CellList([nn.LSTM(size, hidden, bidirectional=True) for size in sizes])
            self.fc = nn.Dense(hidden, LABELS, has_bias=False)

        def construct(self, x):
            x = self.convolutions(x)
            x = x.reshape(x.shape[0], -1, x.shape[3]).transpose(2, 0, 1)
            for lstm in self.lstms:
                y, _ = lstm(x)
                x = y.reshape(y.shape[0], y.shape[1], 2, -1).sum(2)
            return self.fc(x)

    class Loss(nn.Cell):
        def __init__(self, network: nn.Cell):
            super().__init__(auto_prefix=False)
            self.network, self.loss = network, ops.CTCLoss(ctc_merge_repeated=True)

        def construct(self, feats, feat_lengths, indices, labels):
            lengths = ((feat_lengths - 1) / 2 + 1).astype(ms.int32)
            return self.loss(self.network(feats), indices, labels, lengths)[0].mean()

    ms.set_context(mode=ms.GRAPH_MODE)
    model = config.model_conf
    network = Network(model.conv_channels, model.hidden_size, model.hidden_layers, config.features.dim)
    adam = nn.Adam(network.trainable_params(), learning_rate=3e-4, eps=1e-5, loss_scale=1024.0)
    step = nn.TrainOneStepCell(Loss(network), adam, sens=1024.0).set_train()
    feats, lengths, labels, _ = shape.batch(config.features.dim)
    indices = np.argwhere(np.ones_like(labels)).astype(np.int64)  # of a sparse matrix: (utterance, position)
    batch = [ms.Tensor(x) for x in (feats.swapaxes(1, 2)[:, None].copy(), lengths, indices, labels.reshape(-1))]
    return lambda: step(*batch).asnumpy()


def main(argv=None) -> int | None:
    options = parser(__doc__, ("asrlib", "torch", "torch_packed", "published"), repeats=7)
    options.add_argument("--train_config", type=Path, default=ROOT / "conf" / "deepspeech2.yaml", help="configuration of network and optimizer")
    options.add_argument("--train_args", nargs="*", default=[], help="keys of the configuration to override, key=value")
    options.add_argument("--batch_size", type=int, default=4, help="utterances per batch")
    options.add_argument("--frames", type=int, default=300, help="frames per utterance")
    options.add_argument("--labels", type=int, default=40, help="labels per utterance")
    options.add_argument("--published_repeats", type=int, default=2, help="rounds of the published network, whose step takes 20 s or more")
    args = options.parse_args(argv)
    config, shape = load_train_config(args.train_config, args.train_args), Shape(args.batch_size, args.frames, args.labels)
    cases = (
        Case("asrlib", asrlib_step, (config, shape)),
        Case("torch", torch_step, (config, shape, False)),
        Case("torch_packed", torch_step, (config, shape, True)),
        Case("published", published_step, (config, shape), rounds=args.published_repeats),
    )
    results = measure(chosen(cases, args.cases), args.repeats, args.load)
    report(args, results, "first loss", bars(results))
    return None


def bars(results: dict) -> list[Bar]:
    """The targets of the project, for the cases that were run."""
    ours, found = results.get("asrlib"), []
    if ours and (torch := results.get("torch")):
        found.append(Bar("asrlib's time over torch's", ours.over(torch), 1.0))
        found.append(Bar("asrlib's memory over torch's", ours.peak_mb / torch.peak_mb, 1.1))
        found += load_bar(ours, torch)
    if ours and (published := results.get("published")):
        found.append(Bar("the published network's time over asrlib's", published.over(ours), 10.0, at_least=True))
    return found


if __name__ == "__main__":
    run(main)
