"""Sorting of more items than fit into memory."""

import heapq
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO, Any, Generic, TypeVar

T = TypeVar("T")
ITEMS = 100_000  # that are kept in memory


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
        """All items and those of a last part, which is sorted, in order; equal ones in the order of the parts. Several may be read at a time."""
        return heapq.merge(*map(_read, self.files), last, key=self.key)

    def close(self) -> None:
        for file in self.files:
            file.close()
        self.files = []


def _read(file: IO[bytes]) -> Iterator:
    place = 0
    while True:
        file.seek(place)
        try:
            part = pickle.load(file)  # written by this process
        except EOFError:
            return
        place = file.tell()
        yield from part


class DiskSort(Generic[T]):
    """Items in the order of their keys, equal ones as they were added.

    More than `limit` (0: ITEMS) are in temporary files, which live as long as this does.
    """

    def __init__(self, key: Callable[[T], Any] | None = None, limit: int = 0):
        self.limit, self.count, self.part, self.runs = limit or ITEMS, 0, list[T](), SortedRuns(key)

    def add(self, items: Iterable[T]) -> None:
        for item in items:
            self.part.append(item)
            self.count += 1
            if len(self.part) == self.limit:
                self.runs.write(sorted(self.part, key=self.runs.key))
                self.part = []

    def __iter__(self) -> Iterator[T]:
        return self.runs.merged(sorted(self.part, key=self.runs.key))

    def __len__(self) -> int:
        return self.count
