"""One pretraining step of HuBERT or wav2vec 2.0 (forward, loss, backward, update): asrlib compared with PyTorch.

Cases: asrlib; torch, transformers' HubertModel with the same loss or its Wav2Vec2ForPreTraining, with fused AdamW and its fastest attention; logmel,
asrlib on log-mel frames (--cases asrlib,logmel). All use the configured dropouts, no layer dropout, and one update per batch (optim.accumulate=1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import Bar, Case, chosen, load_bar, measure, parser, report

from asrlib.config.families import load_pretrain_config
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.masking import draw_negatives
from asrlib.utils.cli import run

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000


@dataclass(frozen=True)
class Shape:
    """A batch of utterances of equal length."""

    utterances: int
    seconds: float

    def batch(self, config: PretrainConfig) -> tuple[np.ndarray, ...]:
        """wavs (B, S), targets (B, T) int32, mask (B, T)."""
        rng = np.random.default_rng(0)
        wavs = rng.normal(size=(self.utterances, round(self.seconds * RATE))).astype(np.float32)
        size = self.utterances, config.model_conf.frames(wavs.shape[1])
        clusters = getattr(config.model_conf, "num_classes", 1)  # wav2vec 2.0 has none
        return wavs, rng.integers(0, clusters, size, dtype=np.int32), (rng.random(size) < 0.5).astype(np.float32)

    def negatives(self, mask: np.ndarray, config: PretrainConfig) -> np.ndarray:
        """(B, T, T): how often each frame is a negative of each masked frame."""
        counts, rng = np.zeros((*mask.shape, mask.shape[1]), np.float32), np.random.default_rng(1)
        for row in range(len(mask)):
            draw_negatives(mask[row], config.loss.negatives, rng, counts[row])
        return counts


def asrlib_step(config: PretrainConfig, shape: Shape) -> Callable[..., float]:
    """Returns a function that runs a step on a batch of this shape, or of the shape that it is called with."""
    import asrlib.ms  # noqa: F401  (before mindspore is imported)

    import mindspore as ms  # isort: skip
    from asrlib.ms.models import make_network
    from asrlib.ms.objectives import objective_of
    from asrlib.ms.training.optim import make_optimizer
    from asrlib.ms.training.step import TrainStep

    ms.set_context(mode=ms.GRAPH_MODE)
    network = make_network(config)
    step = TrainStep(network, objective_of(config)(config, None, None).loss(network), make_optimizer(network, config.optim), config.optim)
    return lambda shape=shape: step(config.optim.learning_rate, True, *_inputs(config, shape))[0][0]


def _inputs(config: PretrainConfig, shape: Shape) -> tuple[np.ndarray, ...]:
    """A batch in the form of asrlib's loss."""
    wavs, targets, mask = shape.batch(config)
    lengths, keep = np.full(len(wavs), wavs.shape[1], np.int32), np.ones(config.model_conf.layers, np.float32)
    seed, share = np.array(1, np.int32), np.array(1, np.float32)
    if config.objective == "contrastive":
        model, temperature = config.model_conf, np.array(config.loss.temperature[0], np.float32)
        noise = np.random.default_rng(2).gumbel(size=(*mask.shape, model.codebooks * model.codewords)).astype(np.float32)
        return wavs, lengths, mask, shape.negatives(mask, config), keep, seed, share, temperature, noise
    return wavs, lengths, targets, mask, keep, seed, share, np.zeros_like(mask), np.full(len(wavs), -1, np.int32)


def torch_step(config: PretrainConfig, shape: Shape) -> Callable[..., float]:
    import torch

    loss_of, parameters = (contrastive if config.objective == "contrastive" else masked_prediction)(config)
    optim = config.optim
    optimizer = torch.optim.AdamW(parameters, optim.learning_rate, optim.betas, optim.eps, optim.weight_decay, fused=True)

    def step(shape: Shape = shape) -> float:
        loss = loss_of(shape)
        optimizer.zero_grad()
        loss.backward()
        if optim.grad_clip:
            torch.nn.utils.clip_grad_norm_(parameters, optim.grad_clip)
        optimizer.step()
        return loss.item()

    return step


def contrastive(config: PretrainConfig):
    """transformers' loss as a function of the batch's shape, and the parameters."""
    import torch
    import transformers

    from asrlib.convert.packages import transformers_config

    model = transformers.Wav2Vec2ForPreTraining(transformers.Wav2Vec2Config(**transformers_config(config) | {"layerdrop": 0.0})).train()

    def loss(shape: Shape) -> torch.Tensor:
        wavs, _, mask = shape.batch(config)
        counts, frames = shape.negatives(mask, config), mask.shape[1]
        drawn = np.zeros((*mask.shape, config.loss.negatives), np.int64)
        for row, place in np.argwhere(mask):
            drawn[row, place] = np.repeat(np.arange(frames), counts[row, place].astype(int)) + row * frames
        output = model(torch.from_numpy(wavs), mask_time_indices=torch.from_numpy(mask), sampled_negative_indices=torch.from_numpy(drawn))
        return output.loss / float(mask.sum())

    return loss, list(model.parameters())


def masked_prediction(config: PretrainConfig):
    """The loss of transformers' HuBERT as a function of the batch's shape, and the parameters."""
    import torch
    import transformers
    from torch.nn import functional as F

    from asrlib.convert.packages import transformers_config

    facts = transformers_config(config) | {"layerdrop": 0.0, "apply_spec_augment": True}
    model, heads = transformers.HubertModel(transformers.HubertConfig(**facts)).train(), config.model_conf
    project = torch.nn.Linear(heads.dim, heads.final_dim)
    labels = torch.nn.Parameter(torch.rand(heads.num_classes, heads.final_dim))

    def loss(shape: Shape) -> torch.Tensor:
        wavs, targets, mask = (torch.from_numpy(x) for x in shape.batch(config))
        output = model(wavs, mask_time_indices=mask > 0)
        x = F.normalize(project(output.last_hidden_state), dim=-1)
        logits = x @ F.normalize(labels, dim=-1).T / heads.logit_temp
        return F.cross_entropy(logits[mask > 0], targets[mask > 0].long())

    return loss, [*model.parameters(), *project.parameters(), labels]


def main(argv=None) -> int | None:
    options = parser(__doc__, ("asrlib", "torch"), repeats=5)
    options.add_argument("--pretrain_config", type=Path, default=ROOT / "conf" / "hubert_base.yaml", help="configuration of HuBERT or wav2vec 2.0")
    options.add_argument("--pretrain_args", nargs="*", default=[], help="keys of the configuration to override, key=value")
    options.add_argument("--logmel_args", nargs="*", default=["model_conf.frontend=logmel"], help="more of them for the case logmel")
    options.add_argument("--batch_size", type=int, default=1, help="utterances per batch")
    options.add_argument("--seconds", type=float, default=5.0, help="seconds of each utterance")
    args = options.parse_args(argv)
    overrides = [*args.pretrain_args, "optim.accumulate=1"]
    config, logmel = (load_pretrain_config(args.pretrain_config, [*overrides, *more]) for more in ([], args.logmel_args))
    shape = Shape(args.batch_size, args.seconds)
    cases = [Case("asrlib", asrlib_step, (config, shape)), Case("logmel", asrlib_step, (logmel, shape))]
    if config.model_conf.frontend == "waveform":  # transformers has no other
        cases.append(Case("torch", torch_step, (config, shape)))
    results = measure(chosen(cases, args.cases), args.repeats, args.load)
    report(args, results, "first loss", bars(results))
    return None


def bars(results: dict) -> list[Bar]:
    """The targets of the project, for the cases that were run."""
    ours, torch = results.get("asrlib"), results.get("torch")
    if not ours or not torch:
        return []
    memory = Bar("asrlib's memory over torch's", ours.peak_mb / torch.peak_mb, 1.1)
    return [Bar("asrlib's time over torch's", ours.over(torch), 1.0), memory, *load_bar(ours, torch)]


if __name__ == "__main__":
    run(main)
