"""Learning rates over a training."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlib.config.training import ScheduleConfig
from asrlib.ms.training.schedules import learning_rate


def rates(config, updates, per_epoch, epochs):
    return [learning_rate(config, 2.0, i, i / per_epoch, epochs) for i in range(updates)]


def test_constant():
    assert rates(ScheduleConfig(name="constant"), 50, 5, 10) == [2.0] * 50


@pytest.mark.parametrize(("epochs", "kept"), [(10, 6), (7, 4), (1, 1)])
def test_anneal(epochs, kept):
    """The model zoo's: lr / 1.1^(i - epochs / 2) from the middle on, i counting epochs from 0."""
    config = ScheduleConfig(name="anneal", learning_anneal=1.1)
    found = rates(config, epochs * 4, 4, epochs)
    expected = [2.0 if i <= epochs / 2 else 2.0 / 1.1 ** (i - epochs / 2) for i in range(epochs)]
    assert expected[:kept] == [2.0] * kept and all(rate < 2.0 for rate in expected[kept:])
    assert found == pytest.approx([rate for rate in expected for _ in range(4)])


def test_warmup():
    """A tenth of the rate in the first update of ten, all of it from the tenth."""
    found = rates(ScheduleConfig(name="constant", warmup_steps=10), 20, 5, 10)
    assert found == pytest.approx([0.2 * (i + 1) for i in range(10)] + [2.0] * 10)
    annealed = rates(ScheduleConfig(name="anneal", warmup_steps=10), 50, 5, 10)
    plain = rates(ScheduleConfig(name="anneal"), 50, 5, 10)
    assert annealed == pytest.approx([rate * min(1, (i + 1) / 10) for i, rate in enumerate(plain)])


def test_cyclic():
    found = rates(ScheduleConfig(name="cyclic", cycle_steps=4, min_rate=0.25), 17, 5, 10)
    assert found == pytest.approx([0.5, 0.875, 1.25, 1.625, 2.0, 1.625, 1.25, 0.875] * 2 + [0.5])


def test_cosine():
    found = rates(ScheduleConfig(name="cosine", min_rate=0.1), 41, 4, 10)
    assert found == pytest.approx([0.2 + 1.8 * (1 + math.cos(math.pi * i / 40)) / 2 for i in range(41)])
    assert learning_rate(ScheduleConfig(name="cosine"), 2.0, 99, 12.0, 10) == 0.0


@given(
    st.sampled_from(["constant", "anneal", "cyclic", "cosine"]),
    st.integers(0, 20),
    st.integers(1, 9),
    st.floats(0.01, 1),
    st.integers(0, 200),
    st.integers(1, 20),
)
def test_between_lowest_and_peak(name, warmup, cycle, low, update, epochs):
    config = ScheduleConfig(name=name, warmup_steps=warmup, cycle_steps=cycle, min_rate=low)
    rate = learning_rate(config, 3e-4, update, epochs * update / 200, epochs)
    assert 0 <= rate <= 3e-4 * (1 + 1e-9)
    if name != "anneal" and update >= warmup:
        assert rate >= 3e-4 * low * (1 - 1e-9) or name == "constant"


def test_hold():
    """The published Jasper's: linear over the first epochs, constant, then a factor per epoch down to a floor."""
    config = ScheduleConfig(name="hold", warmup_epochs=2, hold_epochs=3, decay=0.5, min_rate=0.1)
    found = rates(config, 48, 4, 12)
    assert found[:8] == pytest.approx([2.0 * i / 8 for i in range(8)])
    assert found[8:24] == [2.0] * 16, "epochs 2 to 5"
    assert found[24:44:4] == pytest.approx([1.0, 0.5, 0.25, 0.2, 0.2])
