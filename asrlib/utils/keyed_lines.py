"""Text files of one `key value` per line as mappings that stay on disk: a process needs eight bytes a line, however long the lines are."""

import os
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from asrlib.utils.errors import UserError

Split = Callable[[str], tuple[str, str]]
BOM = b"\xef\xbb\xbf"
BLOCK = 1 << 20  # bytes read at once
NEAR = 64  # lines among which a search ends without remembering keys


def split_key(line: str) -> tuple[str, str]:
    """The first word of a line and the others, with single spaces."""
    key, *words = line.split()
    return key, " ".join(words)


class Searched:
    """A sorted sequence of keys on disk."""

    def __init__(self):
        self.probes = dict[int, str]()  # keys at which most searches look

    def key_at(self, number: int) -> str:
        """The key with this number in the order of the keys."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def number(self, key: object) -> int | None:
        """The number of a key in their order, from 0; None if there is none."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            found = self.probes.get(middle) or self.key_at(middle)
            if high - low > NEAR:
                self.probes[middle] = found
            if found == key:
                return middle
            if found < str(key):
                low = middle + 1
            else:
                high = middle
        return None


class KeyedLines(Searched, Mapping[str, str]):
    """{key: words} of the lines of a file, in its order; a line with only a key has no words.

    Lines are read again when they are asked for. In memory are their places and, unless the file is sorted, the order of its keys (12 bytes a line).
    split: makes key and words of a line with its end. UserError: no such file; a line is empty, not UTF-8 or has the key of another one.
    """

    def __init__(self, path: str | Path, split: Split = split_key):
        super().__init__()
        self.path, self.split = Path(path), split
        self.file = _open(self.path)
        self.starts, self.order = self._index()

    def _index(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The place of each line and the end of the last one; the lines in the order of their keys, None for that of the file."""
        starts, ascending, before, end = array("q"), True, "", 0
        for start, end, line in _numbered(self.file, self.path):  # noqa: B007 (the last end)
            starts.append(start)
            if ascending:
                key = self.split(line)[0]
                ascending, before = key > before or len(starts) == 1, key
        starts.append(end)
        places = np.frombuffer(starts, np.int64)
        return places, None if ascending else self._sorted(len(places) - 1)

    def _sorted(self, count: int) -> np.ndarray:
        keys = [self.split(line)[0] for _, _, line in _numbered(self.file, self.path)]
        order = np.array(sorted(range(count), key=keys.__getitem__), np.int32)
        twice = [(int(after), int(first)) for first, after in zip(order, order[1:], strict=False) if keys[first] == keys[after]]
        if twice:
            after, first = min(twice)
            what = f"duplicate utterance {keys[after]!r}, also in line {first + 1}"
            raise UserError(f"{self.path}:{after + 1}: {what}: remove one of the two lines")
        return order

    def _line(self, number: int) -> tuple[str, str]:
        """Key and words of the line with this number in the order of the keys."""
        number = number if self.order is None else int(self.order[number])
        begin, end = int(self.starts[number]), int(self.starts[number + 1])
        return self.split(os.pread(self.file.fileno(), end - begin, begin).decode("utf-8"))

    def key_at(self, number: int) -> str:
        return self._line(number)[0]

    def __getitem__(self, key: str) -> str:
        number = self.number(key)
        if number is None:
            raise KeyError(key)
        return self._line(number)[1]

    def __contains__(self, key: object) -> bool:
        return self.number(key) is not None

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._rows())

    def items(self):
        """Key and words of each line, in the file's order."""
        return _Rows(self, lambda row: row)

    def values(self):
        """The words of each line."""
        return _Rows(self, itemgetter(1))

    def _rows(self) -> Iterator[tuple[str, str]]:
        return (self.split(line) for _, _, line in _numbered(self.file, self.path))

    def sorted_items(self) -> Iterator[tuple[str, str]]:
        """Key and words of each line in the order of the keys."""
        return self._rows() if self.order is None else map(self._line, range(len(self)))

    def sorted_keys(self) -> Sequence[str]:
        """The keys in order, read when they are asked for."""
        return _SortedKeys(self)


def stored(rows: Iterable[tuple[str, str]]) -> KeyedLines:
    """Rows in a temporary file, which lives as long as the mapping. Keys have no white space, values no line ends."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n", prefix="asrlib.") as file:
        file.writelines(f"{key} {value}\n" for key, value in rows)
        file.flush()
        return KeyedLines(file.name, _split_stored)


def _split_stored(line: str) -> tuple[str, str]:
    key, _, value = line[:-1].partition(" ")
    return key, value


def of_kind(other: Mapping[str, Any], rows: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """The rows in a temporary file if those of the other mapping are on disk, or else in memory."""
    return stored(rows) if isinstance(other, KeyedLines) else dict(rows)


class _Rows:
    """The items or values of a file."""

    def __init__(self, lines: KeyedLines, field: Callable):
        self.lines, self.field = lines, field

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator:
        return map(self.field, self.lines._rows())


class _SortedKeys(Sequence):
    def __init__(self, lines: KeyedLines):
        self.lines = lines

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.lines.sorted_items())

    def __getitem__(self, index):
        return self.lines._line(range(len(self))[index])[0]


def lines_of(path: str | Path) -> Iterator[str]:
    """The lines of a file without white space around them. UserError: no such file; a line is empty or not UTF-8."""
    with _open(Path(path)) as file:
        yield from (line.strip() for _, _, line in _numbered(file, Path(path)))


def sorted_items(rows: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The items of a mapping in the order of its keys."""
    return rows.sorted_items() if isinstance(rows, Searched) else iter(sorted(rows.items(), key=itemgetter(0)))  # type: ignore[attr-defined]


def sorted_keys(rows: Mapping[str, str]) -> Sequence[str]:
    """The keys of a mapping in order."""
    return rows.sorted_keys() if isinstance(rows, KeyedLines) else sorted(rows)


def joined(first: Mapping[str, str], *others: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Any]]]:
    """Of each key of `first`, in order: key, its value and those of the others, None where one lacks the key."""
    rows = [_Follower(sorted_items(other)) for other in others]
    for key, value in sorted_items(first):
        yield key, value, [row.value(key) for row in rows]


class _Follower:
    """The values of ascending keys from sorted items."""

    def __init__(self, items: Iterable[tuple[str, Any]]):
        self.items = iter(items)
        self.current = next(self.items, None)

    def value(self, key: str) -> Any:
        while self.current is not None and self.current[0] < key:
            self.current = next(self.items, None)
        return self.current[1] if self.current is not None and self.current[0] == key else None


def _open(path: Path):
    if not path.is_file():
        raise UserError(f"{path}: no such file: give a text file with one 'UTTERANCE-ID words' line per utterance")
    return open(path, "rb")


def _numbered(file, path: Path) -> Iterator[tuple[int, int, str]]:
    """First byte, end and text of each line."""
    number, end = 0, 0
    for raw in _raw_lines(file.fileno()):
        begin, end = end, end + len(raw)
        for part in raw.splitlines(keepends=True) if b"\r" in raw else (raw,):
            number, first, begin = number + 1, begin, begin + len(part)
            skipped = len(BOM) if first == 0 and part.startswith(BOM) else 0
            yield first + skipped, begin, _text(part[skipped:], path, number)


def _raw_lines(handle: int) -> Iterator[bytes]:
    """The lines of an open file with their ends; its position is left alone, because several iterators may read it."""
    place, rest = 0, b""
    while block := os.pread(handle, BLOCK, place):
        place += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


def _text(raw: bytes, path: Path, number: int) -> str:
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{number}: not UTF-8 (byte {raw[error.start]:#04x}): convert the file, for example with iconv") from None
    if line.isspace() or not line:
        raise UserError(f"{path}:{number}: empty line: remove it, or start it with an utterance id")
    return line
