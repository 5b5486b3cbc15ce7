"""Log spectrograms of DeepSpeech2: magnitude of a short-time Fourier transform, log1p, normalised per utterance or by the frames so far."""

import numpy as np
import scipy.fft

from asrlib.config.features import FeatureConfig
from asrlib.features.window import window
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

BLOCK = 128  # frames transformed at once, few enough for the processor's cache
# What is known of speech before the first frame: as many frames of the mean and the deviation of LibriSpeech's and AISHELL-1's log spectrograms
PRIOR_FRAMES, PRIOR_MEAN, PRIOR_DEVIATION = 100, 0.07, 0.21


def num_frames(samples: int, config: FeatureConfig) -> int:
    """Number of frames of a recording of `samples` samples: one centred on every stride."""
    return 1 + samples // config.stride_samples


def log_spectrogram(samples: np.ndarray, config: FeatureConfig, where: str = "audio") -> np.ndarray:
    """float32 (samples,) in [-1, 1] -> float32 (frames, window/2 + 1), frames = 1 + samples // stride.

    Equals np.log1p(np.abs(librosa.stft(y, n_fft=window, hop_length=stride, window=..., pad_mode=...))).T, then (x - mean) / std over all bins
    and frames if `normalize` (MindSpore model zoo, DeepSpeech2, src/dataset.py), or see RunningNorm. UserError: an empty recording.
    """
    if samples.size == 0:
        raise UserError(f"{where}: no samples: remove the utterance or repair the file")
    spectrum = spectra(np.pad(samples.astype(np.float32, copy=False), config.window_samples // 2, mode=config.pad_mode), config)
    if config.normalize_causal:
        return RunningNorm()(spectrum)
    return normalized(spectrum, where) if config.normalize else spectrum


def spectra(padded: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """(samples,) float32 -> log1p of the magnitudes (frames, window/2 + 1) of every whole window, `stride` samples apart."""
    size = config.window_samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[:: config.stride_samples]
    taper = window(config.window, size)
    spectrum = np.empty((len(windows), size // 2 + 1), np.float32)
    for begin in range(0, len(windows), BLOCK):
        block = spectrum[begin : begin + BLOCK]
        np.abs(scipy.fft.rfft(windows[begin : begin + BLOCK] * taper, overwrite_x=True), out=block)
        np.log1p(block, out=block)
    return spectrum


class RunningNorm:
    """Normalises every frame by mean and deviation over all bins of the frames up to it and of those before the first one (PRIOR_FRAMES).

    Called with the frames of a recording, at once or a few at a time, it gives the same.
    """

    def __init__(self):
        power = PRIOR_MEAN**2 + PRIOR_DEVIATION**2
        self.frames, self.sums = PRIOR_FRAMES, np.array([PRIOR_FRAMES * PRIOR_MEAN, PRIOR_FRAMES * power])

    def __call__(self, spectrum: np.ndarray) -> np.ndarray:
        """The next frames (n, bins), normalised in place."""
        if not len(spectrum):
            return spectrum
        wide = spectrum.astype(np.float64)
        rows = np.stack([wide.mean(1), (wide**2).mean(1)], 1)
        rows[0] += self.sums
        sums = np.cumsum(rows, 0)
        mean, power = (sums / (self.frames + 1 + np.arange(len(rows)))[:, None]).T
        self.frames, self.sums = self.frames + len(rows), sums[-1]
        deviation = np.sqrt(np.maximum(power - mean**2, 1e-16))
        spectrum[:] = (wide - mean[:, None]) / deviation[:, None]
        return spectrum


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
