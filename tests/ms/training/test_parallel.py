"""Which batches each process computes."""

import pytest

from asrlib.ms.training.parallel import Ranks


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("group", [range(0, 12), range(12, 17), range(5, 6)])
def test_every_batch_counts_once_and_all_processes_have_as_many(size, group):
    own = [Ranks(rank, size).own_batches(group) for rank in range(size)]
    assert len({len(numbers) for numbers in own}) == 1
    assert sorted(number for numbers in own for number, counts in numbers if counts) == list(group)
    assert all(number in group for numbers in own for number, _ in numbers)
