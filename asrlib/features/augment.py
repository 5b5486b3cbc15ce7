"""Augmentation: SpecAugment on features; speed, volume and noise on waveforms."""

from pathlib import Path

import numpy as np
import soxr

from asrlib.config.features import AugmentConfig
from asrlib.corpora.audio import read_audio
from asrlib.corpora.channels import Channel
from asrlib.utils.errors import UserError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg"}


def spec_augment(feats: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """A copy of (frames, bins) with frequency and time masks set to 0, the mean of normalised features (Park et al. 2019, no time warping).

    Widths are uniform from 0 to freq_mask_width bins and to time_mask_width frames, the latter at most time_mask_ratio of the utterance.
    """
    feats = feats.copy()
    frames, bins = feats.shape
    for _ in range(config.freq_masks):
        width = int(rng.integers(0, min(config.freq_mask_width, bins) + 1))
        start = int(rng.integers(0, bins - width + 1))
        feats[:, start : start + width] = 0
    longest = min(config.time_mask_width, int(frames * config.time_mask_ratio))
    for _ in range(config.time_masks):
        width = int(rng.integers(0, longest + 1))
        start = int(rng.integers(0, frames - width + 1))
        feats[start : start + width] = 0
    return feats


def draw_speed(config: AugmentConfig, rng: np.random.Generator) -> float:
    """A random speed factor, 1.0 without perturbation; above 1 is faster and shorter."""
    return float(rng.uniform(config.speed_min, config.speed_max)) if config.speed_volume_perturb else 1.0


def perturbed_samples(samples: int, speed: float) -> int:
    """Length of a recording of `samples` samples after perturb_speed."""
    return max(1, round(samples / speed))


def perturb_speed(audio: np.ndarray, speed: float) -> np.ndarray:
    """Speeds `audio` up by the factor `speed` by resampling, as sox's `speed` does; the result has perturbed_samples samples."""
    if speed == 1.0:
        return audio
    resampled = soxr.resample(audio, speed, 1.0)
    target = perturbed_samples(audio.size, speed)
    return np.pad(resampled[:target], (0, max(0, target - resampled.size)))


def perturb_volume(audio: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Applies a random gain, uniform in decibel between gain_min and gain_max, and clips to [-1, 1]."""
    gain = 10 ** (rng.uniform(config.gain_min, config.gain_max) / 20)
    return np.clip(audio * np.float32(gain), -1, 1)


class NoiseInjector:
    """Adds a random segment of the first channel of a random noise recording with probability noise_prob.

    The ratio of the noise's root mean square to the speech's is uniform between noise_min and noise_max (deepspeech.pytorch).
    """

    def __init__(self, config: AugmentConfig, rate: int):
        self.config, self.rate = config, rate
        folder = Path(config.noise_dir)
        self.paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES) if folder.is_dir() else []
        if not self.paths:
            raise UserError(f"augment.noise_dir: {config.noise_dir}: no wav, flac or ogg file in this folder")

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.config.noise_prob:
            return audio
        noise = read_audio(self.paths[int(rng.integers(len(self.paths)))], self.rate, channel=Channel(0))
        start = int(rng.integers(0, max(1, noise.size - audio.size + 1)))
        noise = np.resize(noise[start : start + audio.size], audio.size)
        level = rng.uniform(self.config.noise_min, self.config.noise_max)
        energy = np.sqrt(np.mean(noise**2))
        if energy == 0:
            return audio
        return audio + noise * np.float32(level * np.sqrt(np.mean(audio**2)) / energy)
