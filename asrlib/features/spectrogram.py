"""Log spectrograms of DeepSpeech2: magnitude of a short-time Fourier transform, log1p, normalised per utterance."""

import numpy as np
import scipy.fft

from asrlib.config.features import FeatureConfig
from asrlib.features.window import window
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

BLOCK = 128  # frames transformed at once, few enough for the processor's cache


def num_frames(samples: int, config: FeatureConfig) -> int:
    """Number of frames of a recording of `samples` samples: one centred on every stride."""
    return 1 + samples // config.stride_samples


def log_spectrogram(samples: np.ndarray, config: FeatureConfig, where: str = "audio") -> np.ndarray:
    """float32 (samples,) in [-1, 1] -> float32 (frames, window/2 + 1), frames = 1 + samples // stride.

    Equals np.log1p(np.abs(librosa.stft(y, n_fft=window, hop_length=stride, window=..., pad_mode=...))).T, then (x - mean) / std over all bins
    and frames if `normalize` (MindSpore model zoo, DeepSpeech2, src/dataset.py). UserError: an empty recording.
    """
    if samples.size == 0:
        raise UserError(f"{where}: no samples: remove the utterance or repair the file")
    size, stride = config.window_samples, config.stride_samples
    half = size // 2
    padded = np.pad(samples.astype(np.float32, copy=False), half, mode=config.pad_mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::stride]
    taper = window(config.window, size)
    spectrum = np.empty((len(windows), half + 1), np.float32)
    for begin in range(0, len(windows), BLOCK):
        block = spectrum[begin : begin + BLOCK]
        np.abs(scipy.fft.rfft(windows[begin : begin + BLOCK] * taper, overwrite_x=True), out=block)
        np.log1p(block, out=block)
    return normalized(spectrum, where) if config.normalize else spectrum


def normalized(spectrum: np.ndarray, where: str = "audio") -> np.ndarray:
    """Normalises the whole array to mean 0 and deviation 1, in place. Digital silence becomes zeros, with a warning."""
    spectrum -= spectrum.mean()
    flat = spectrum.reshape(-1)
    deviation = float(np.sqrt(np.dot(flat, flat) / flat.size))
    if deviation < 1e-8:
        log.warning("%s: digital silence: its features are all 0", where)
    else:
        spectrum *= np.float32(1.0 / deviation)
    return spectrum
