"""The networks behind a recogniser: each takes audio and gives log-probabilities of tokens, and imports only its own framework."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from asrlib.config.base import build
from asrlib.config.families import load_train_config
from asrlib.features.compute import compute
from asrlib.text.tokenizers import Tokenizer, load_tokenizer
from asrlib.utils.errors import UserError

Framework = Literal["mindspore", "pytorch", "mindir", "onnx", "espnet"]
Run = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # feats (B, T, F), lengths (B,) -> log-probabilities (B, T', V), lengths
FILES: dict[str, str] = {
    "mindspore": "model.safetensors",
    "pytorch": "pt/model.safetensors",
    "mindir": "mindir/model.mindir",
    "onnx": "onnx/model.onnx",
}
BATCH_FRAMES = 12_000  # padded frames of a batch: two minutes of speech
NEEDS = {"mindspore": "mindspore", "mindir": "mindspore", "pytorch": "torch", "espnet": "espnet2", "onnx": "onnxruntime"}


class Network(Protocol):
    """A model from audio (samples,) at `rate` Hz to log-probabilities (T, V) of `tokens`; clips that are too short for it have T = 0."""

    rate: int
    tokens: list[str]
    blank: int
    separator: str

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]: ...


class FeatureNetwork:
    """A function of features with their configuration and its tokens."""

    def __init__(self, folder: Path, make: Callable[[Any, int], Run]):
        """make: (configuration, number of tokens) -> the function. UserError: config.yaml or tokens.txt of the folder is missing."""
        config = load_train_config(folder / "config.yaml")
        tokenizer: Tokenizer = load_tokenizer(folder / "tokens.txt")
        self.features, self.rate = config.features, config.features.sample_rate
        self.tokens, self.blank, self.separator = tokenizer.tokens, tokenizer.blank, tokenizer.separator
        self.run = make(config, len(tokenizer.tokens))

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(samples,) each -> (T', V) each, in batches of similar length; an utterance has the same output alone and in a batch."""
        outputs = [np.empty((0, len(self.tokens)), np.float32) for _ in audios]
        feats = {i: compute(audio, self.features) for i, audio in enumerate(audios) if len(audio) >= self.features.window_samples}
        rows = sorted(feats, key=lambda i: len(feats[i]), reverse=True)
        while rows:
            size = max(1, BATCH_FRAMES // len(feats[rows[0]]))
            batch, rows = rows[:size], rows[size:]
            lengths = np.array([len(feats[i]) for i in batch], np.int32)
            padded = np.zeros((len(batch), int(lengths.max()), self.features.dim), np.float32)
            for row, i in enumerate(batch):
                padded[row, : lengths[row]] = feats[i]
            scores, counts = self.run(padded, lengths)
            for row, i in enumerate(batch):
                outputs[i] = scores[row, : counts[row]]
        return outputs


def framework_of(folder: Path, wanted: str | None) -> Framework:
    """The framework of an experiment's network: the one that is wanted, or the first that is there and installed. UserError: there is none."""
    there = ["espnet"] if (folder / "inference").is_dir() else [name for name, file in FILES.items() if (folder / file).is_file()]
    if wanted is not None and wanted not in NEEDS:
        raise UserError(f"framework {wanted!r}: choose one of {', '.join(NEEDS)}")
    found = [name for name in there if name == (wanted or name)]
    if not found:
        what = f"a model for {wanted}; it has {', '.join(there) or 'none'}" if wanted else "a trained model (run stage 3, or stage 5 of fine-tuning)"
        raise UserError(f"{folder}: this experiment has no {what.removeprefix('a ')}")
    for name in found:
        if importlib.util.find_spec(NEEDS[name]) is not None:
            return name  # type: ignore[return-value]
    raise UserError(f"{folder}: its model needs {' or '.join(NEEDS[name] for name in found)}, which is not installed here")


def open_network(folder: Path, framework: Framework, device: str, joint: Mapping[str, Any]) -> Network:
    """The network of an experiment's folder. device: auto, cpu, cuda, npu (MindSpore: its Ascend). joint: settings of the joint search of a
    fine-tuned model. UserError: as its package says."""
    ascend = "Ascend" if device == "npu" else "CPU"
    if framework == "mindspore":
        from asrlib.ms.inference.acoustic import CtcTranscriber

        return CtcTranscriber(folder, ascend)
    if framework == "mindir":
        from asrlib.ms.inference.mindir import load_mindir

        return FeatureNetwork(folder, lambda config, size: load_mindir(folder / FILES[framework], ascend))
    if framework == "onnx":
        from asrlib.api.onnx import load_onnx

        return FeatureNetwork(folder, lambda config, size: load_onnx(folder / FILES[framework]))
    if framework == "pytorch":
        from asrlib.pt.acoustic import load_twin

        return FeatureNetwork(folder, lambda config, size: load_twin(folder / FILES[framework], config, size, device))
    from asrlib.pt.recogniser import CtcTranscriber as Finetuned
    from asrlib.pt.recogniser import JointConfig

    return Finetuned(folder, device, build(JointConfig, dict(joint), "settings of the joint search"))
