"""Log-mel features of Jasper: pre-emphasis, dither, power spectrum, mel filters, logarithm, each bin normalised over the utterance."""

import functools
import zlib

import librosa
import numpy as np
import scipy.fft

from asrlib.config.features import FeatureConfig
from asrlib.features.window import window
from asrlib.utils.errors import UserError


def trimmed(audio: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Removes silence at both ends, config.trim_db below the loudest frame; a completely silent recording is returned unchanged."""
    if not config.trim_db or not audio.size:
        return audio
    inside, _ = librosa.effects.trim(audio, top_db=config.trim_db)
    return inside if inside.size else audio


def log_mel(samples: np.ndarray, config: FeatureConfig, where: str = "audio") -> np.ndarray:
    """float32 (samples,) in [-1, 1] -> float32 (frames, num_mels), frames = ceil(samples / stride).

    Equals np.log(librosa.feature.melspectrogram(pre-emphasised y, n_fft=, win_length=, hop_length=, n_mels=, window=) + log_floor).T over
    those frames. Each bin is then normalised as in NeMo (published Jasper): minus its mean, divided by its deviation (n - 1) + 1e-5.
    The name `where` seeds the dither noise. UserError: an empty recording.
    """
    if samples.size == 0:
        raise UserError(f"{where}: no samples: remove the utterance or repair the file")
    audio = samples.astype(np.float32)
    if config.dither:
        rng = np.random.default_rng(zlib.crc32(where.encode()))
        audio = audio + np.float32(config.dither) * rng.standard_normal(audio.size, np.float32)
    audio = np.concatenate([audio[:1], audio[1:] - np.float32(config.preemphasis) * audio[:-1]])
    padded = np.pad(audio, config.n_fft // 2, mode=config.pad_mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)[:: config.stride_samples][: -(-audio.size // config.stride_samples)]
    power = np.abs(scipy.fft.rfft(windows * _window(config))) ** 2
    mel = np.log(power @ _filters(config.sample_rate, config.n_fft, config.num_mels).T + np.float32(config.log_floor))
    return _normalized(mel).astype(np.float32) if config.normalize else mel.astype(np.float32)


def _normalized(mel: np.ndarray) -> np.ndarray:
    deviation = mel.std(0, ddof=1) if len(mel) > 1 else np.zeros(mel.shape[1], mel.dtype)
    return (mel - mel.mean(0)) / (deviation + 1e-5)


def _window(config: FeatureConfig) -> np.ndarray:
    return _padded_window(config.window, config.window_samples, config.symmetric_window, config.n_fft)


@functools.lru_cache(maxsize=8)
def _padded_window(name: str, size: int, symmetric: bool, n_fft: int) -> np.ndarray:
    """The window, zero-padded on both sides to n_fft samples."""
    before = (n_fft - size) // 2
    return np.pad(window(name, size, symmetric), (before, n_fft - size - before))


@functools.lru_cache(maxsize=8)
def _filters(rate: int, n_fft: int, mels: int) -> np.ndarray:
    return librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=mels).astype(np.float32)
