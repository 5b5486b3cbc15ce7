"""Intervals against exact values and kaldialign."""

import kaldialign
import numpy as np
import pytest

from asrlib.score import bootstrap
from asrlib.score.bootstrap import interval, percent, resample


def rates(columns, **kwargs):
    sums = resample(columns, **kwargs)
    return percent(sums[:, 0], sums[:, 1])


def test_two_utterances_give_three_known_rates():
    columns = np.array([[0, 4], [2, 4]])  # drawn twice, one of each, or the other twice: 0, 25, 50 % with 1/4, 1/2, 1/4
    found = rates(columns)
    values, counts = np.unique(found, return_counts=True)
    np.testing.assert_allclose(values, [0, 25, 50])
    np.testing.assert_allclose(counts / len(found), [0.25, 0.5, 0.25], atol=0.02)


def test_interval_of_many_equal_lengths_is_the_normal_one():
    errors = np.random.default_rng(0).poisson(2.0, size=400)
    columns = np.stack([errors, np.full(400, 20)], axis=1)
    low, high = interval(rates(columns))
    half = 1.96 * errors.std() / 20 / np.sqrt(400) * 100
    assert low == pytest.approx(errors.mean() * 5 - half, abs=0.1 * half)
    assert high == pytest.approx(errors.mean() * 5 + half, abs=0.1 * half)


def test_interval_agrees_with_kaldialign():
    rng = np.random.default_rng(1)
    refs = [list(rng.integers(9, size=rng.integers(3, 15))) for _ in range(200)]
    hyps = [[int(u) if rng.random() > 0.2 else 99 for u in ref] for ref in refs]  # substitutions only: any alignment counts them alike
    columns = np.array([(sum(r != h for r, h in zip(ref, hyp, strict=True)), len(ref)) for ref, hyp in zip(refs, hyps, strict=True)])
    theirs = kaldialign.bootstrap_wer_ci([[int(u) for u in ref] for ref in refs], hyps)
    low, high = interval(rates(columns))
    assert low == pytest.approx(100 * theirs["ci95min"], abs=0.2)
    assert high == pytest.approx(100 * theirs["ci95max"], abs=0.2)


def test_speakers_that_differ_widen_the_interval():
    columns = np.array([[1, 10]] * 50 + [[5, 10]] * 50)
    groups = ["good"] * 50 + ["bad"] * 50
    low, high = interval(rates(columns))
    wide_low, wide_high = interval(rates(columns, groups=groups))
    assert (wide_low, wide_high) == (10.0, 50.0)
    assert 25 < low < 30 < high < 35


def test_same_seed_same_drawings():
    columns = np.random.default_rng(2).integers(9, size=(30, 2))
    np.testing.assert_array_equal(resample(columns, seed=5), resample(columns, seed=5))
    assert not np.array_equal(resample(columns, seed=5), resample(columns, seed=6))
    assert resample(columns, replications=7).shape == (7, 2)


def test_drawings_without_reference_units_are_left_out():
    assert interval(percent(np.array([1, 1]), np.array([0, 2]))) == [50.0, 50.0]
    assert interval(percent(np.array([1]), np.array([0]))) is None


def many(rows):
    rng = np.random.default_rng(4)
    units = rng.integers(1, 400, size=rows)
    return np.stack([rng.binomial(units, rng.beta(1, 9, size=rows)), units], axis=1)


def test_parts_of_the_samples_are_those_of_one_drawing(monkeypatch):
    """As many different rows as are drawn by their counts, at once and in parts: the same numbers."""
    columns = many(12_000)
    rows, counts = np.unique(columns, axis=0, return_counts=True)
    at_once = np.random.default_rng(3).multinomial(len(columns), counts / len(columns), size=50) @ rows
    monkeypatch.setattr(bootstrap, "NUMBERS", 7 * len(rows))
    np.testing.assert_array_equal(resample(columns, replications=50, seed=3), at_once)


def test_blocks_of_utterances_give_the_interval_of_utterances(monkeypatch):
    columns = many(30_000)
    whole = interval(rates(columns, replications=2000))
    monkeypatch.setattr(bootstrap, "DIFFERENT", 100)
    blocks = interval(rates(columns, replications=2000))
    width = whole[1] - whole[0]
    assert blocks != whole and blocks == pytest.approx(whole, abs=0.06 * width)
    assert width == pytest.approx(2 * 1.96 * 100 * np.std(columns[:, 0] - columns[:, 0].sum() / columns[:, 1].sum() * columns[:, 1]) * 30_000**0.5
                                  / columns[:, 1].sum(), rel=0.06)  # fmt: skip
