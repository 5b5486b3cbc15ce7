"""Log-mel features against librosa's, with dither off; dither, trimming and short recordings."""

import librosa
import numpy as np
import pytest
import torch

from asrlib.config.features import FeatureConfig, LogMelConfig
from asrlib.features.compute import compute, num_frames, prepared
from asrlib.features.logmel import log_mel, trimmed
from asrlib.utils.errors import UserError


@pytest.fixture
def config():
    return LogMelConfig(dither=0.0)


def speechlike(samples, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 16000
    return (0.3 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 3 * t)) + 0.02 * rng.normal(size=samples)).astype(np.float32)


def by_librosa(audio, config, normalize):
    y = np.append(audio[0], audio[1:] - 0.97 * audio[:-1]).astype(np.float32)
    settings = {"n_fft": 512, "win_length": 320, "hop_length": 160, "n_mels": 64, "window": "hann", "power": 2.0}
    mel = librosa.feature.melspectrogram(y=y, sr=16000, pad_mode=config.pad_mode, **settings)
    mel = np.log(mel + 1e-20)[:, : -(-len(audio) // 160)]
    return ((mel - mel.mean(1, keepdims=True)) / (mel.std(1, ddof=1, keepdims=True) + 1e-5)).T if normalize else mel.T


@pytest.mark.parametrize("samples", [16000, 16001, 12345])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_equals_librosas(config, samples, pad_mode):
    config.pad_mode = pad_mode
    audio = speechlike(samples)
    ours = log_mel(audio, config)
    assert ours.dtype == np.float32 and ours.shape == (num_frames(samples, config), 64)
    np.testing.assert_allclose(ours, by_librosa(audio, config, True), atol=1e-4)
    config.normalize = False
    np.testing.assert_allclose(log_mel(audio, config), by_librosa(audio, config, False), atol=1e-4)


def test_equals_the_features_of_nvidia_and_nemo(config):
    """A symmetric window, reflected edges; NeMo adds 2^-24 before the logarithm. By PyTorch, which both use."""
    audio = speechlike(12345) * np.float32(1e-2)  # so quiet that the floor counts
    config.symmetric_window, config.pad_mode = True, "reflect"
    emphasised = torch.from_numpy(np.append(audio[0], audio[1:] - np.float32(0.97) * audio[:-1]))
    spectrum = torch.stft(emphasised, 512, 160, 320, torch.hann_window(320, periodic=False), pad_mode="reflect", return_complex=True).abs() ** 2
    mel = torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=512, n_mels=64)) @ spectrum[:, : -(-len(audio) // 160)]
    results = []
    for config.log_floor in (1e-20, 2.0**-24):
        theirs = torch.log(mel + config.log_floor)
        theirs = (theirs - theirs.mean(1, keepdim=True)) / (theirs.std(1, keepdim=True) + 1e-5)
        results.append(log_mel(audio, config))
        np.testing.assert_allclose(results[-1], theirs.T, atol=1e-3)
    assert np.abs(results[0] - results[1]).max() > 1
    config.symmetric_window = False
    assert np.abs(results[1] - log_mel(audio, config)).max() > 0.01


def test_dither_is_that_of_the_name(config):
    config.dither = 1e-3
    audio = speechlike(8000)
    assert np.array_equal(log_mel(audio, config, "utterance a"), log_mel(audio, config, "utterance a"))
    assert not np.array_equal(log_mel(audio, config, "utterance a"), log_mel(audio, config, "utterance b"))


def test_silence_at_the_ends_is_cut(config):
    audio = np.concatenate([np.zeros(8000, np.float32), speechlike(16000), np.zeros(8000, np.float32)])
    assert 16000 <= len(prepared(audio, config)) <= 16000 + 2 * 2048
    config.trim_db = 0.0
    assert len(trimmed(audio, config)) == 32000
    assert len(prepared(audio, FeatureConfig())) == 32000, "the spectrogram takes all of it"


def test_silence_and_little(config):
    assert np.isfinite(compute(np.zeros(1600, np.float32), config)).all()
    assert compute(np.ones(10, np.float32), config).shape == (1, 64)
    with pytest.raises(UserError, match="utterance u1: no samples"):
        compute(np.zeros(0, np.float32), config, "utterance u1")
