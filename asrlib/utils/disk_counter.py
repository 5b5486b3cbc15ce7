"""A counter of more different keys than fit into memory."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from asrlib.utils.disk_sort import SortedRuns

KEYS = 500_000  # that are kept in memory


class DiskCounter:
    """Counts keys that can be sorted.

    More than `limit` (0: KEYS) different ones are in sorted runs in temporary files, which the end of a `with` removes.
    """

    def __init__(self, limit: int = 0):
        self.limit, self.counts, self.runs = limit or KEYS, Counter[Any](), SortedRuns()

    def update(self, keys: Iterable) -> None:
        """Counts keys."""
        self.counts.update(keys)
        if len(self.counts) > self.limit:
            self.runs.write(sorted(self.counts.items()))
            self.counts.clear()

    def items(self) -> Iterator[tuple[Any, int]]:
        """Keys in order, each with its count."""
        for key, rows in groupby(self.runs.merged(sorted(self.counts.items())), key=itemgetter(0)):
            yield key, sum(count for _, count in rows)

    def most_common(self) -> Iterator[tuple[Any, int]]:
        """Keys with their counts, the largest count first, equal ones in the order of the keys."""
        runs, rows = SortedRuns(_falling), self.items()
        part = sorted(islice(rows, self.limit), key=_falling)
        while rest := sorted(islice(rows, self.limit), key=_falling):
            runs.write(part)
            part = rest
        yield from runs.merged(part)
        runs.close()

    def __enter__(self) -> "DiskCounter":
        return self

    def __exit__(self, *_) -> None:
        self.runs.close()


def _falling(row: tuple[Any, int]) -> tuple[int, Any]:
    return -row[1], row[0]
