"""A counter on disk against collections.Counter."""

import random
from collections import Counter

import pytest

from asrlib.utils.disk_counter import DiskCounter


@pytest.mark.parametrize("limit", [5, 40, 10_000])
def test_counts_beyond_the_memory(limit):
    draw = random.Random(limit)
    keys = [(draw.choice("SDI"), draw.choice("ABCDEFG今é"), "XY"[draw.randrange(2)]) for _ in range(2000)]
    with DiskCounter(limit) as found:
        for begin in range(0, len(keys), 3):
            found.update(keys[begin : begin + 3])
        assert bool(found.runs.files) == (limit < 54)
        expected = Counter(keys)
        assert list(found.items()) == sorted(expected.items())
        assert list(found.most_common()) == sorted(expected.items(), key=lambda row: (-row[1], row[0]))
        assert list(found.items()) == sorted(expected.items())


def test_nothing_counted():
    with DiskCounter() as found:
        assert list(found.items()) == list(found.most_common()) == []
