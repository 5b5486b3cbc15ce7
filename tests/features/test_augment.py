"""Augmentation: extent of the changes, and reproducibility with the same generator."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.config.features import AugmentConfig
from asrlib.features.augment import NoiseInjector, draw_speed, perturb_speed, perturb_volume, perturbed_samples, spec_augment
from asrlib.utils.errors import UserError


def generator(seed=0):
    return np.random.default_rng(seed)


def tone(hertz, seconds=1.0, rate=16000, level=0.4):
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def pitch(audio, rate=16000):
    return np.argmax(np.abs(np.fft.rfft(audio))) * rate / audio.size


def runs(flags):
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


@settings(max_examples=100, deadline=None)
@given(frames=st.integers(1, 300), bins=st.integers(1, 161), masks=st.integers(0, 3), seed=st.integers(0, 1000))
def test_spec_augment(frames, bins, masks, seed):
    config = AugmentConfig(freq_masks=masks, time_masks=masks, freq_mask_width=20, time_mask_width=30, time_mask_ratio=0.2)
    feats = generator(1).uniform(1, 2, (frames, bins)).astype(np.float32)
    before = feats.copy()
    out = spec_augment(feats, config, generator(seed))
    np.testing.assert_array_equal(feats, before)
    masked = out == 0
    np.testing.assert_array_equal(out[~masked], feats[~masked])
    columns, rows = masked.all(0), masked.all(1)
    np.testing.assert_array_equal(masked, columns[None] | rows[:, None])  # whole bins and whole frames, nothing else
    if not columns.all():
        longest = min(30, int(0.2 * frames))
        assert rows.sum() <= masks * longest and len(runs(rows)) <= masks
    if not rows.all():
        assert columns.sum() <= masks * 20 and len(runs(columns)) <= masks


def test_spec_augment_reaches_its_largest_widths_and_every_place():
    config = AugmentConfig(freq_masks=1, time_masks=1, freq_mask_width=5, time_mask_width=7, time_mask_ratio=0.5)
    outs = [spec_augment(np.ones((30, 12), np.float32), config, generator(seed)) == 0 for seed in range(500)]
    assert {int(out.all(0).sum()) for out in outs} == set(range(6))
    assert {int(out.all(1).sum()) for out in outs} == set(range(8))
    assert np.all(sum(out.all(1).astype(int) for out in outs) > 0) and np.all(sum(out.all(0).astype(int) for out in outs) > 0)


def test_speed_draws():
    config = AugmentConfig(speed_volume_perturb=True)
    draws = [draw_speed(config, generator(seed)) for seed in range(1000)]
    assert 0.85 <= min(draws) < 0.86 and 1.14 < max(draws) <= 1.15
    assert draw_speed(AugmentConfig(), generator()) == 1.0


@pytest.mark.parametrize("speed", [0.85, 0.9, 1.1, 1.15])
def test_speed(speed):
    """The factor scales duration and pitch, but not the level."""
    audio = tone(440)
    out = perturb_speed(audio, speed)
    assert out.dtype == np.float32 and out.size == perturbed_samples(audio.size, speed) == round(16000 / speed)
    assert pitch(out) == pytest.approx(440 * speed, rel=0.003)
    assert np.sqrt(np.mean(out**2)) == pytest.approx(np.sqrt(np.mean(audio**2)), rel=0.01)


def test_speed_one_changes_nothing():
    audio = tone(440)
    assert perturb_speed(audio, 1.0) is audio


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5000), st.floats(0.85, 1.15))
def test_speed_gives_the_planned_length(samples, speed):
    assert perturb_speed(np.ones(samples, np.float32), speed).size == perturbed_samples(samples, speed)


def test_volume():
    audio = tone(440, level=0.1)
    gains = [20 * np.log10(np.abs(perturb_volume(audio, AugmentConfig(), generator(seed))).max() / 0.1) for seed in range(500)]
    assert -6.01 <= min(gains) < -5.8 and 7.8 < max(gains) <= 8.01
    loud = perturb_volume(tone(440, level=0.9), AugmentConfig(gain_min=8, gain_max=8), generator())
    assert loud.dtype == np.float32 and np.abs(loud).max() == 1.0


@pytest.fixture
def noises(tmp_path):
    folder = tmp_path / "noise" / "street"
    folder.mkdir(parents=True)
    soundfile.write(folder / "long.wav", generator(5).uniform(-0.3, 0.3, 40_000), 16000)
    soundfile.write(folder / "short.flac", generator(6).uniform(-0.3, 0.3, 1_000), 8000)
    (folder / "notes.txt").write_text("no audio")
    return tmp_path / "noise"


def test_noise_level(noises):
    audio = tone(300, 0.5)
    inject = NoiseInjector(AugmentConfig(noise_dir=str(noises), noise_prob=1.0, noise_min=0.1, noise_max=0.5), 16000)
    assert [path.name for path in inject.paths] == ["long.wav", "short.flac"]
    levels = []
    for seed in range(60):
        out = inject(audio, generator(seed))
        assert out.dtype == np.float32 and out.size == audio.size
        np.testing.assert_array_equal(out, inject(audio, generator(seed)))
        levels.append(np.sqrt(np.mean((out - audio) ** 2)) / np.sqrt(np.mean(audio**2)))
    assert 0.0999 <= min(levels) < 0.15 and 0.45 < max(levels) <= 0.5001


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.4, 60, 100), (1.0, 200, 200)])
def test_noise_probability(noises, probability, low, high):
    audio = tone(300, 0.1)
    inject = NoiseInjector(AugmentConfig(noise_dir=str(noises), noise_prob=probability, noise_min=0.3), 16000)
    assert low <= sum(not np.array_equal(inject(audio, generator(seed)), audio) for seed in range(200)) <= high


def test_noise_of_zeros(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 16000)
    inject = NoiseInjector(AugmentConfig(noise_dir=str(tmp_path), noise_prob=1.0), 16000)
    np.testing.assert_array_equal(inject(tone(300), generator()), tone(300))


@pytest.mark.parametrize("folder", ["none", "."])
def test_no_noise(tmp_path, folder):
    with pytest.raises(UserError, match="augment.noise_dir: .*: no wav, flac or ogg file in this folder"):
        NoiseInjector(AugmentConfig(noise_dir=str(tmp_path / folder)), 16000)
