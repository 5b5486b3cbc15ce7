"""Log-probabilities from a trained model, computed in batches of few shapes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn, ops

from asrlib.config.ctc import TrainConfig
from asrlib.config.families import load_train_config
from asrlib.features.compute import compute
from asrlib.ms.checkpoint.weights import assign_arrays, load_arrays, require_complete
from asrlib.ms.data.batches import bucket_edges
from asrlib.ms.device import use_device
from asrlib.ms.models import make_network
from asrlib.text.tokenizers import Tokenizer, load_tokenizer
from asrlib.utils.errors import UserError
from asrlib.utils.progress import progress

BATCH_FRAMES = 12_000  # padded frames of a batch: two minutes of speech
BUCKETS = 6
BUCKET_FRAMES = 60_000  # per bucket: compiling a shape takes seconds, which less padding does not make up for
ROUNDED = 64  # padded lengths are multiples of it, so that sets share shapes


class InferenceStep(nn.Cell):
    """(feats, feat_lengths) -> log-probabilities (B, T', V) float32, their lengths (B,)."""

    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        self.network = network
        self.set_train(False)

    def construct(self, feats, feat_lengths):
        logits, lengths = self.network(feats, feat_lengths)
        return ops.log_softmax(logits, -1).swapaxes(0, 1), lengths


class AcousticModel:
    """A network with its weights, its configuration and its tokenizer."""

    def __init__(self, network: nn.Cell, config: TrainConfig, tokenizer: Tokenizer):
        self.network, self.config, self.tokenizer = network, config, tokenizer
        network.set_train(False)
        self.step = InferenceStep(network)

    @classmethod
    def load(cls, exp_dir: Path, weights: Path | None = None, device: str = "CPU") -> "AcousticModel":
        """The model of an experiment: config.yaml, tokens.txt and model.safetensors (or other weights). UserError: one is missing or mismatched."""
        weights = weights or exp_dir / "model.safetensors"
        if not weights.is_file():
            raise UserError(f"{weights} is missing: run stage 3 (training)")
        use_device(device)
        config, tokenizer = load_train_config(exp_dir / "config.yaml"), load_tokenizer(exp_dir / "tokens.txt")
        network = make_network(config, len(tokenizer.tokens))
        require_complete(assign_arrays(list(network.get_parameters()), load_arrays(weights)), weights)
        return cls(network, config, tokenizer)

    def log_probs(self, feats: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Features (T, F) of utterances -> natural log-probabilities (T', V) in the order given."""
        frames = np.array([len(x) for x in feats])
        outputs: list[np.ndarray] = [np.empty(0)] * len(feats)
        batches = _batches(frames)
        for edge, size, indices in progress(batches, desc="acoustic model", unit="batch", delay=2):
            padded = np.zeros((size, edge, self.config.features.dim), np.float32)
            lengths = np.ones(size, np.int32)
            for row, i in enumerate(indices):
                padded[row, : frames[i]], lengths[row] = feats[i], frames[i]
            scores, out_lengths = self.step(Tensor(padded), Tensor(lengths))
            scores, out_lengths = scores.asnumpy(), out_lengths.asnumpy()
            for row, i in enumerate(indices):
                outputs[i] = scores[row, : out_lengths[row]].copy()
        return outputs


def _batches(frames: np.ndarray) -> list[tuple[int, int, list[int]]]:
    """(padded frames, rows, utterances) of each batch; one shape for each of a few buckets."""
    edges = np.array(bucket_edges(frames, min(BUCKETS, max(1, int(frames.sum()) // BUCKET_FRAMES))))
    edges = np.unique(-(-edges // ROUNDED) * ROUNDED)
    place = np.searchsorted(edges, frames)
    batches = []
    for number, edge in enumerate(edges.tolist()):
        members = np.flatnonzero(place == number).tolist()
        size = min(max(1, BATCH_FRAMES // edge), max(1, len(members)))
        batches += [(edge, size, members[i : i + size]) for i in range(0, len(members), size)]
    return batches


class CtcTranscriber:
    """A trained model from audio to log-probabilities."""

    def __init__(self, exp_dir: Path, device: str = "CPU"):
        self.model = AcousticModel.load(exp_dir, device=device)
        self.features = self.model.config.features
        self.rate, tokenizer = self.features.sample_rate, self.model.tokenizer
        self.tokens, self.blank, self.separator = tokenizer.tokens, tokenizer.blank, tokenizer.separator

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(samples,) each -> (T', V) each, T' = 0 if it is shorter than a frame. Silence at the ends is not cut, so that times are relative to the
        beginning."""
        long = [audio for audio in audios if len(audio) >= self.features.window_samples]
        outputs = iter(self.model.log_probs([compute(audio, self.features) for audio in long]) if long else [])
        empty = np.empty((0, len(self.tokens)), np.float32)
        return [next(outputs) if len(audio) >= self.features.window_samples else empty for audio in audios]
