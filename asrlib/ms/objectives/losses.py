"""Functions that the pretraining losses share."""

from mindspore import ops

from asrlib.ms.layers.common import time_mask


def unit(x):
    """Vectors of length 1, as torch.cosine_similarity divides (epsilon 1e-8)."""
    return x / ops.sqrt(ops.maximum((x * x).sum(-1, keepdims=True), 1e-16))


def feature_penalty(features, frames):
    """Mean square of the convolutions' output (B, T, C) inside the utterances (wav2vec 2.0 and HuBERT as fairseq trains them)."""
    inside = time_mask(frames, features.shape[1])
    return ((features * features).mean(-1) * inside).sum() / ops.maximum(inside.sum(), 1.0)
