"""The loss scale of float16 over updates."""

import pytest

from asrlib.config.training import TrainerConfig
from asrlib.ms.training.loss_scale import adapted, start


@pytest.mark.parametrize(("precision", "expected"), [("fp16", 128.0), ("fp32", 1.0), ("bf16", 1.0)])
def test_start(precision, expected):
    assert start(TrainerConfig(precision=precision, loss_scale=128.0)) == expected


def test_halved_by_overflow_and_doubled_after_finite_updates():
    scale, count, found = 8.0, 0, []
    for finite in (False, True, True, True, True, False, True):
        scale, count = adapted(scale, count, finite, 2)
        found.append(scale)
    assert found == [4, 4, 8, 8, 16, 8, 8]


def test_never_below_one_and_fixed_without_a_window():
    assert adapted(1.5, 3, False, 2) == (1.0, 0) and adapted(1.0, 3, False, 2) == (1.0, 0)
    assert adapted(8.0, 0, False, 0) == adapted(8.0, 0, True, 0) == (8.0, 0)
