"""Functions that the pretraining losses share."""

import mindspore as ms
from mindspore import ops


def inside_mask(frames, length):
    """frames (B,) -> (B, length) float32: 1 inside the utterances, 0 in the padding."""
    return (ops.arange(0, length).astype(ms.int32) < frames.expand_dims(1)).astype(ms.float32)


def unit(x):
    """Vectors of length 1, as torch.cosine_similarity divides (epsilon 1e-8)."""
    return x / ops.sqrt(ops.maximum((x * x).sum(-1, keepdims=True), 1e-16))


def feature_penalty(features, frames):
    """Mean square of the convolutions' output (B, T, C) inside the utterances (wav2vec 2.0 and HuBERT as fairseq trains them)."""
    inside = inside_mask(frames, features.shape[1])
    return ((features * features).mean(-1) * inside).sum() / ops.maximum(inside.sum(), 1.0)
