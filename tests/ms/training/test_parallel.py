"""Which batches each process computes, and how their statistics of batch normalisation are joined."""

import numpy as np
import pytest

from asrlib.ms.layers.norms import MOMENTUM
from asrlib.ms.training.parallel import Ranks, statistic_weights


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("group", [range(0, 12), range(12, 17), range(5, 6)])
def test_every_batch_counts_once_and_all_processes_have_as_many(size, group):
    own = [Ranks(rank, size).own_batches(group) for rank in range(size)]
    assert len({len(numbers) for numbers in own}) == 1
    assert sorted(number for numbers in own for number, counts in numbers if counts) == list(group)
    assert all(number in group for numbers in own for number, _ in numbers)


@pytest.mark.parametrize("moves", [[1, 1], [1, 0], [0, 0], [2, 1, 3], [1, 1, 0, 2]])
def test_statistics_move_as_in_one_process(moves):
    """moves: parts of the batch of each process, 0 for one that does not count (and moves nevertheless)."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=3)
    parts = [rng.normal(size=(max(1, count), 3)) for count in moves]

    def moved(statistic, batches):
        for batch in batches:
            statistic = (1 - MOMENTUM) * statistic + MOMENTUM * batch
        return statistic

    joined = 0.0
    for rank, own_parts in enumerate(parts):
        left, own, rest = statistic_weights(np.array(moves), rank)
        joined += (moved(start, own_parts) - start * left) * own
    expected = moved(start, [part for count, own_parts in zip(moves, parts, strict=True) for part in own_parts[:count]])
    assert np.allclose(joined + start * rest, expected, rtol=1e-12)
