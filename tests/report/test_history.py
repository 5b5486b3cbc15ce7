"""Rows of a history that are thinned for plots."""

import pytest

from asrlib.report.history import thinned


@pytest.mark.parametrize(("count", "most", "size"), [(10, 10, 1), (11, 10, 1), (12, 10, 2), (22, 10, 2), (95, 10, 8)])
def test_thinned_rows_are_means(count, most, size):
    rows = [{"update": n, "epoch": n / 4, "loss": float(n)} for n in range(1, count + 1)]
    others = [{"update": n, "epoch": n / 4, "valid_loss": 1.0} for n in (3, 9)]
    found = thinned([*rows[:3], others[0], *rows[3:9], others[1], *rows[9:]], most)
    assert found[-2:] == others and len(found) - 2 <= most + 2
    for number, row in enumerate(found[:-2]):
        group = rows[number * size : (number + 1) * size]
        assert row["loss"] == pytest.approx(sum(one["loss"] for one in group) / len(group)) and row["update"] == group[-1]["update"]


def test_thinned_rows_leave_out_what_is_not_finite():
    rows = [{"update": 1, "loss": float("nan")}, {"update": 2, "loss": 3.0}, {"update": 3, "loss": float("inf")}, {"update": 4, "loss": float("inf")}]
    assert thinned(rows, 2) == [{"update": 2, "loss": 3.0}, {"update": 4, "loss": float("inf")}]
