"""A counter of more different keys than fit into memory."""

import heapq
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import IO, Any, TypeVar

T = TypeVar("T")
KEYS = 500_000  # that are kept in memory


class SortedRuns:
    """Items beyond the memory in sorted order: `write` puts sorted parts into temporary files, which `merged` reads side by side."""

    def __init__(self, key: Callable[[Any], Any] | None = None):
        self.key, self.files = key, list[IO[bytes]]()

    def write(self, items: Iterable) -> None:
        """Keeps a part, which is sorted."""
        file = tempfile.TemporaryFile(prefix="asrlib.")  # noqa: SIM115 (close closes it)
        self.files.append(file)
        iterator = iter(items)
        while part := list(islice(iterator, 1000)):
            pickle.dump(part, file, pickle.HIGHEST_PROTOCOL)

    def merged(self, last: Iterable = ()) -> Iterator:
        """All items and those of a last part, which is sorted, in order."""
        return heapq.merge(*map(_read, self.files), last, key=self.key)

    def close(self) -> None:
        for file in self.files:
            file.close()
        self.files = []


def _read(file: IO[bytes]) -> Iterator:
    file.seek(0)
    while True:
        try:
            yield from pickle.load(file)  # written by this process
        except EOFError:
            return


class DiskCounter:
    """Counts keys that can be sorted; more than `limit` different ones are in sorted runs in temporary files, which the end of a `with` removes."""

    def __init__(self, limit: int = KEYS):
        self.limit, self.counts, self.runs = limit, Counter[Any](), SortedRuns()

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
