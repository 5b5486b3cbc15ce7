"""Kaldi's log-mel filter bank as two matrices, so that a network computes it from samples with products alone.

Removing the mean, pre-emphasis, the window and the Fourier transform of a frame are linear: one matrix does them all. Source: Kaldi's
feature-fbank.cc and mel-computations.cc with their defaults, without dither.
"""

import functools

import numpy as np

from asrlib.config.pretraining import LOG_MEL, RATE
from asrlib.features.window import window

FLOOR = 1e-10  # of an energy, before the logarithm: below the noise of 16 bits, above the rounding of float32
LOWEST = 20.0  # Hz
PREEMPHASIS = 0.97
FFT = 512


@functools.lru_cache(maxsize=2)
def matrices(num_mels: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 spectrum (400, 510) and mels (510, num_mels): the energies of a frame x (400,) are (x @ spectrum) ** 2 @ mels.

    Columns of the spectrum: the real parts of bins 1 to 255 of 512, then their imaginary parts; no filter sees the others.
    """
    size = LOG_MEL[0]
    frame = np.eye(size) - 1 / size
    frame = frame - PREEMPHASIS * np.concatenate((frame[:1], frame[:-1]))  # Kaldi takes the first sample for the one before it
    frame = (window("hann", size, symmetric=True).astype(np.float64) ** 0.85)[:, None] * frame  # Povey's window
    bins = np.arange(1, FFT // 2)
    phase = 2 * np.pi / FFT * np.outer(np.arange(size), bins)
    spectrum = np.concatenate((frame.T @ np.cos(phase), frame.T @ np.sin(phase)), 1)
    filters = _triangles(_mel(bins * RATE / FFT), num_mels)
    return spectrum.astype(np.float32), np.concatenate((filters, filters)).astype(np.float32)


def _triangles(mels: np.ndarray, count: int) -> np.ndarray:
    """(bins, count): weights of the bins at these places of the mel scale."""
    edges = np.linspace(_mel(LOWEST), _mel(RATE / 2), count + 2)
    rising = (mels[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling))


def _mel(frequency):
    return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)
