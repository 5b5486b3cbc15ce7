"""n-grams as sorted numbers on disk, of which a process holds a part at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

PART = 2_000_000  # n-grams in memory at a time


class Keys:
    """n-grams of unit numbers below `units` as values that sort like them: of 64 bits if they fit (`order` units), else of four bytes a unit."""

    def __init__(self, units: int, order: int):
        self.bits = max(1, (units - 1).bit_length())
        self.narrow = self.bits * order <= 64

    def pack(self, rows: np.ndarray) -> np.ndarray:
        """rows: (count, n) unit numbers."""
        if not self.narrow:
            return np.ascontiguousarray(rows, dtype=">u4").view(f"S{4 * rows.shape[1]}").ravel()
        keys = np.zeros(len(rows), np.uint64)
        for column in rows.T:
            keys = (keys << np.uint64(self.bits)) | column.astype(np.uint64)
        return keys

    def unpack(self, keys: np.ndarray, n: int) -> np.ndarray:
        """(count, n) unit numbers."""
        if not self.narrow:
            return np.ascontiguousarray(keys).view(">u4").reshape(-1, n).astype(np.int64)
        mask = np.uint64((1 << self.bits) - 1)
        return np.stack([keys >> np.uint64(self.bits * place) & mask for place in reversed(range(n))], axis=1).astype(np.int64)

    def prefix(self, keys: np.ndarray, n: int) -> np.ndarray:
        """The n-grams without their last unit, n > 1."""
        return keys >> np.uint64(self.bits) if self.narrow else self.pack(self.unpack(keys, n)[:, :-1])

    def suffix(self, keys: np.ndarray, n: int) -> np.ndarray:
        """The n-grams without their first unit, n > 1."""
        return keys & np.uint64((1 << self.bits * (n - 1)) - 1) if self.narrow else self.pack(self.unpack(keys, n)[:, 1:])


def counted(keys: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The different keys, sorted, and the sum of the counts of each (None: 1 each)."""
    if not len(keys):
        return keys, np.zeros(0, np.int64)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(np.ones(len(keys), np.int64) if counts is None else counts[order], first)


class Column:
    """Numbers in a file to which parts are appended."""

    def __init__(self, path: Path):
        self.path, self.length, self.dtype = path, 0, np.dtype(np.int64)

    def append(self, values: np.ndarray) -> None:
        with open(self.path, "ab") as stream:
            np.ascontiguousarray(values).tofile(stream)
        self.length, self.dtype = self.length + len(values), values.dtype

    def read(self, begin: int = 0, end: int | None = None) -> np.ndarray:
        """The numbers from begin to end, in memory."""
        end = self.length if end is None else min(end, self.length)
        return np.fromfile(self.path, self.dtype, max(0, end - begin), offset=begin * self.dtype.itemsize) if end > begin else np.zeros(0, self.dtype)

    def mapped(self) -> np.ndarray:
        """All of them, in memory only where they are looked at."""
        return np.memmap(self.path, self.dtype, "r") if self.length else np.zeros(0, self.dtype)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


class Runs:
    """Keys with counts in sorted parts on disk, which `merged` adds up."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name, self.parts = folder, name, list[tuple[Column, Column]]()

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Keeps a part: sorted, no key twice."""
        part = tuple(Column(self.folder / f"{self.name}.{len(self.parts)}.{what}") for what in ("keys", "counts"))
        for column, values in zip(part, (keys, counts), strict=True):
            column.append(values)
        self.parts.append(part)  # type: ignore[arg-type]  # two columns

    def merged(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The keys of all parts in order with the sums of their counts, about PART at a time; removes the parts."""
        mapped = [keys.mapped() for keys, _ in self.parts]
        sample = np.sort(np.concatenate([keys[:: max(1, PART // 1000)] for keys in mapped])) if mapped else np.zeros(0)
        cuts = np.unique(sample[1000::1000])
        edges = [[0, *np.searchsorted(keys, cuts).tolist(), len(keys)] for keys in mapped]
        for number in range(len(cuts) + 1):
            rows = [
                (keys.read(*edge[number : number + 2]), counts.read(*edge[number : number + 2]))
                for (keys, counts), edge in zip(self.parts, edges, strict=True)
            ]
            if rows:
                yield counted(np.concatenate([keys for keys, _ in rows]), np.concatenate([counts for _, counts in rows]))
        for part in self.parts:
            for column in part:
                column.remove()
