"""Sorting on disk against sorted()."""

import random

import pytest

from asrlib.utils.disk_sort import DiskSort


def rows(number):
    draw = random.Random(number)
    return [(draw.choice("ABCDEFG今é"), place) for place in range(number)]


@pytest.mark.parametrize("limit", [1, 7, 1500, 10_000])
def test_order(limit):
    items, found = rows(3000), DiskSort(key=lambda row: row[0], limit=limit)
    found.add(items[:100])
    found.add(items[100:])
    assert list(found) == sorted(items, key=lambda row: row[0]) and len(found) == 3000, "stable, too"
    assert len(found.runs.files) == 3000 // limit
    found.add([("0", -1)])
    assert list(found) == [("0", -1), *sorted(items, key=lambda row: row[0])]


def test_two_may_read_at_a_time():
    found = DiskSort(limit=1000)
    found.add(rows(5000))
    one, other = iter(found), iter(found)
    first = [next(one) for _ in range(2500)]
    assert list(other) == first + list(one) == sorted(rows(5000))


def test_nothing():
    assert list(DiskSort()) == []
