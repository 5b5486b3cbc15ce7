"""Exports the PyTorch twin of a CTC model as ONNX with dynamic batch and time axes, and compares the graph in onnxruntime with the network."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from asrlib.config.families import load_train_config
from asrlib.pt.acoustic import LogProbs, read_twin
from asrlib.text.tokenizers import load_tokenizer
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_directory
from asrlib.utils.log import get_logger

log = get_logger(__name__)

FRAMES = (150, 97)  # lengths for the comparison
AXES = {"feats": {0: "batch", 1: "frames"}, "lengths": {0: "batch"}, "log_probs": {0: "batch", 1: "output_frames"}, "output_lengths": {0: "batch"}}


def export(exp_dir: Path, out: Path, tolerance: float = 1e-4) -> float:
    """Writes OUT/model.onnx: (feats (B, T, F) float32, lengths (B,) int64) -> log_probs (B, T', V), output_lengths (B,).

    Returns the largest difference between the graph and the twin on batches of two lengths. UserError: it is more than `tolerance`; no twin.
    """
    weights = exp_dir / "pt" / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{weights} is missing: convert the model first (asrlib convert)")
    config, vocabulary = load_train_config(exp_dir / "config.yaml"), len(load_tokenizer(exp_dir / "tokens.txt").tokens)
    model, batches = read_twin(weights, config, vocabulary), [_inputs(frames, config.features.dim) for frames in FRAMES]
    with torch.no_grad():
        outputs = [[tensor.numpy() for tensor in model(*inputs)] for inputs in batches]
    if hasattr(model.network, "_recurrent"):
        model.network._recurrent = _recurrent
    with atomic_directory(out) as folder:
        path = folder / "model.onnx"
        _write(model, batches[0], path)
        del model  # of a large network the session needs as much again
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        differences = [_difference(session, inputs, *mine) for inputs, mine in zip(batches, outputs, strict=True)]
        worst = float(np.max(differences))  # nan if any is nan
        if not worst <= tolerance:
            raise UserError(f"{out}: the exported graph differs from the network by {worst:.3g}, more than {tolerance:g}")
    log.info("%s: equal to the network within %.2g for %s frames", out / path.name, worst, " and ".join(map(str, FRAMES)))
    return worst


def _write(model: LogProbs, inputs: tuple[Tensor, Tensor], path: Path) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing: the shapes are dynamic, and the comparison has others
        names = list(AXES)
        torch.onnx.export(model, inputs, str(path), dynamo=False, input_names=names[:2], output_names=names[2:], dynamic_axes=AXES)


def _recurrent(rnn: nn.RNNBase, x: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """DeepSpeech2's layer without packed sequences, which ONNX does not have: the second direction sees each utterance backwards."""
    time = torch.arange(x.shape[0])[:, None]
    backwards = torch.where(time < lengths, lengths - 1 - time, time)[..., None]  # (T, B, 1)
    y, _ = _direction(rnn, "")(x)
    if rnn.bidirectional:
        z, _ = _direction(rnn, "_reverse")(x.gather(0, backwards.expand(-1, -1, x.shape[2])))
        y = y + z.gather(0, backwards.expand(-1, -1, z.shape[2]))
    return y


def _direction(rnn: nn.RNNBase, suffix: str) -> nn.RNNBase:
    one = type(rnn)(rnn.input_size, rnn.hidden_size)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        setattr(one, name, getattr(rnn, name + suffix))
    return one


def _inputs(frames: int, dim: int) -> tuple[Tensor, Tensor]:
    feats = torch.from_numpy(np.random.default_rng(frames).standard_normal((2, frames, dim)).astype(np.float32))
    return feats, torch.tensor([frames, frames // 2])


def _difference(session: onnxruntime.InferenceSession, inputs: tuple[Tensor, Tensor], scores: np.ndarray, counts: np.ndarray) -> float:
    """The largest difference from log-probabilities of these lengths."""
    theirs, their_counts = session.run(None, {"feats": inputs[0].numpy(), "lengths": inputs[1].numpy()})
    if theirs.shape != scores.shape or (their_counts != counts).any():
        return float("inf")
    return max(float(np.abs(scores[row, :count] - theirs[row, :count]).max()) for row, count in enumerate(counts.tolist()))
