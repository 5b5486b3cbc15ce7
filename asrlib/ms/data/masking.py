"""Masked spans and negatives, drawn as fairseq draws them for HuBERT and wav2vec 2.0."""

import numpy as np

from asrlib.config.pretraining import MaskConfig


def draw_mask(frames: int, config: MaskConfig, rng: np.random.Generator) -> np.ndarray:
    """(frames,) bool: True in int(prob * frames / length + u) spans of `length` frames, u from U(0, 1), at least min_masks; they may overlap.

    Each frame starts a span with probability prob / length. In utterances that are no longer than a span, all frames but the last are masked.
    """
    mask = np.zeros(frames, bool)
    spans = max(int(config.prob * frames / config.length + rng.random()), config.min_masks)
    length = min(config.length, max(1, frames - 1))
    starts = rng.choice(max(1, frames - length), size=min(spans, max(1, frames - length)), replace=False)
    for start in starts:
        mask[start : start + length] = True
    return mask


def draw_negatives(mask: np.ndarray, count: int, rng: np.random.Generator, out: np.ndarray) -> bool:
    """Adds to out (frames, frames) how often each frame was drawn as one of the `count` negatives of a masked frame.

    Negatives are other masked frames of the utterance, drawn with replacement (wav2vec 2.0 as in fairseq). mask (frames,): nonzero where masked.
    False: there is no other masked frame.
    """
    (places,) = np.nonzero(mask)
    if places.size < 2:
        return False
    drawn = rng.integers(places.size - 1, size=(places.size, count))
    drawn += drawn >= np.arange(places.size)[:, None]  # never itself
    np.add.at(out, (np.repeat(places, count), places[drawn.reshape(-1)]), 1)
    return True
