"""Log spectrograms against librosa's."""

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.config.features import FeatureConfig
from asrlib.features.spectrogram import log_spectrogram, normalized, num_frames
from asrlib.utils.errors import UserError


def by_librosa(samples, config):
    """The published recipe (model zoo, DeepSpeech2, src/dataset.py), in librosa's float64."""
    stft = librosa.stft(
        samples.astype(np.float64),
        n_fft=config.window_samples,
        hop_length=config.stride_samples,
        window=config.window,
        pad_mode=config.pad_mode,
    )
    spectrum = np.log1p(np.abs(stft)).T
    return (spectrum - spectrum.mean()) / spectrum.std() if config.normalize else spectrum


@pytest.mark.parametrize("window", ["hamming", "hann", "blackman"])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("normalize", [True, False])
def test_equals_librosa(noise, window, pad_mode, normalize):
    config = FeatureConfig(window=window, pad_mode=pad_mode, normalize=normalize)
    samples = noise(37_123) * np.linspace(0.01, 1, 37_123, dtype=np.float32)
    ours = log_spectrogram(samples, config)
    assert ours.dtype == np.float32 and ours.shape == (num_frames(samples.size, config), 161)
    np.testing.assert_allclose(ours, by_librosa(samples, config), atol=1e-4)


@pytest.mark.filterwarnings("ignore:n_fft")
@pytest.mark.parametrize("samples", [1, 159, 160, 161, 320, 128 * 160 - 1, 128 * 160, 129 * 160 + 7])
def test_equals_librosa_at_every_length(noise, samples):
    """Lengths below a window, down to one sample, and around the block boundaries of the transform."""
    config = FeatureConfig(normalize=False)
    np.testing.assert_allclose(log_spectrogram(noise(samples), config), by_librosa(noise(samples), config), atol=1e-4)


@pytest.mark.parametrize("samples", [1, 2, 100, 160, 161])
def test_reflection_of_clips_shorter_than_a_window(noise, samples):
    """The samples are reflected at both ends, again and again where there are few; one sample is repeated."""
    audio = noise(samples)
    period = np.concatenate([audio, audio[-2:0:-1]])
    padded = period[np.arange(-160, samples + 160) % len(period)]
    expected = np.log1p(np.abs(librosa.stft(padded, n_fft=320, hop_length=160, window="hamming", center=False))).T
    ours = log_spectrogram(audio, FeatureConfig(normalize=False, pad_mode="reflect"))
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_equals_librosa_with_another_stride_and_rate(noise):
    config = FeatureConfig(sample_rate=8000, window_size=0.025, window_stride=0.0125)
    assert config.dim == 101
    np.testing.assert_allclose(log_spectrogram(noise(9_999), config), by_librosa(noise(9_999), config), atol=1e-4)


def test_equals_librosa_on_speech(shared):
    path = sorted((shared / "speech" / "librispeech").rglob("*.flac"))[0]
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 16000
    np.testing.assert_allclose(log_spectrogram(samples, FeatureConfig()), by_librosa(samples, FeatureConfig()), atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40_000), st.sampled_from([0.005, 0.01, 0.015]))
def test_num_frames(samples, stride):
    config = FeatureConfig(window_stride=stride)
    assert len(log_spectrogram(np.ones(samples, np.float32), config)) == num_frames(samples, config)


def test_scale_and_input_untouched(noise):
    samples = noise(8000)
    before = samples.copy()
    feats = log_spectrogram(samples, FeatureConfig())
    assert abs(feats.mean()) < 1e-5 and abs(feats.std() - 1) < 1e-5
    np.testing.assert_array_equal(samples, before)


def test_silence_becomes_zeros_with_a_warning(monkeypatch):
    messages = []
    monkeypatch.setattr("asrlib.features.spectrogram.log.warning", lambda text, *args: messages.append(text % args))
    feats = log_spectrogram(np.zeros(1600, np.float32), FeatureConfig(), "utterance u1")
    assert feats.shape == (11, 161) and not feats.any()
    assert messages == ["utterance u1: digital silence: its features are all 0"]


def test_normalized_of_constant_values():
    np.testing.assert_array_equal(normalized(np.full((3, 2), 5.0, np.float32)), np.zeros((3, 2)))


def test_errors():
    with pytest.raises(UserError, match="utterance u1: no samples"):
        log_spectrogram(np.zeros(0, np.float32), FeatureConfig(), "utterance u1")
    with pytest.raises(ValueError, match="window_size must be at least window_stride"):
        FeatureConfig(window_size=0.01, window_stride=0.02)
