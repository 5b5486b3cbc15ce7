"""The log-mel filter bank against Kaldi's."""

import kaldi_native_fbank as knf
import numpy as np
import pytest

from asrlib.features.filterbank import FLOOR, matrices

SCALE = 2.0**15  # to samples of 16 bits, for which Kaldi's smallest energy is meant


def kaldis(audio: np.ndarray, num_mels: int) -> np.ndarray:
    """Kaldi's filter bank of samples in [-1, 1]."""
    options = knf.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither, options.mel_opts.num_bins = 16000, 0.0, num_mels
    computer = knf.OnlineFbank(options)
    computer.accept_waveform(16000, (audio * SCALE).tolist())
    computer.input_finished()
    frames = [computer.get_frame(i) for i in range(computer.num_frames_ready)]
    return np.array(frames).reshape(len(frames), num_mels) - 2 * np.log(SCALE)


@pytest.mark.parametrize("num_mels", [40, 80])
@pytest.mark.parametrize("samples", [400, 559, 560, 16123])
def test_equals_kaldis(num_mels, samples):
    """Noise whose level changes over 60 dB, with an offset."""
    rng = np.random.default_rng(samples)
    audio = (0.1 * 10 ** (1.5 * np.sin(np.arange(samples) / 900) - 1.5) * rng.normal(size=samples) + 0.01).astype(np.float32)
    spectrum, mels = matrices(num_mels)
    frames = np.lib.stride_tricks.sliding_window_view(audio, 400)[::160]
    found = np.log(np.maximum((frames @ spectrum) ** 2 @ mels, FLOOR))
    expected = np.maximum(kaldis(audio, num_mels), np.log(FLOOR))
    assert np.isfinite(expected).all() and (expected > np.log(FLOOR)).mean() > 0.9
    assert found.shape == (1 + (samples - 400) // 160, num_mels) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_silence_and_an_offset_are_the_floor():
    """Also an offset as large as speech, of which rounding leaves something."""
    spectrum, mels = matrices(80)
    for level in (0.0, 0.3, 1.0):
        energies = (np.full((1, 400), level, np.float32) @ spectrum) ** 2 @ mels
        assert (energies <= FLOOR).all(), level
