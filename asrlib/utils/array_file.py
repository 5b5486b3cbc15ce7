"""Many arrays by name in a safetensors file that stays on disk: a process needs eight bytes an array."""

import os
import re
import struct
from array import array
from collections.abc import Iterator, Mapping
from json import loads
from pathlib import Path

import numpy as np

from asrlib.utils.arrays import TYPES, read_safetensors
from asrlib.utils.keyed_lines import Searched

ENTRY = re.compile(rb'("(?:[^"\\]|\\.)*"):\{"dtype":"(\w+)","shape":\[([0-9,]*)\],"data_offsets":\[(\d+),(\d+)\]\},?')


def open_arrays(path: str | Path) -> Mapping[str, np.ndarray]:
    """{name: array} of a file as save_arrays writes it for arrays of one type, read when they are asked for; of another file, in memory.

    UserError: the file is missing or damaged.
    """
    return found if Path(path).is_file() and (found := ArrayFile(path)).valid else read_safetensors(path)


class ArrayFile(Searched, Mapping[str, np.ndarray]):
    """valid: whether the header has nothing but arrays sorted by name, whose bytes fill the file."""

    def __init__(self, path: str | Path):
        super().__init__()
        self.file = open(path, "rb")  # noqa: SIM115 (it is read as long as this lives)
        size = os.fstat(self.file.fileno()).st_size
        length = struct.unpack("<Q", os.pread(self.file.fileno(), 8, 0))[0] if size >= 8 else size
        self.data, starts, before, end, place = 8 + length, array("q"), "", 0, 1
        self.valid = False
        if self.data > size:
            return
        header = os.pread(self.file.fileno(), length, 8)
        for entry in ENTRY.finditer(header, 1):
            name, kind, _, begin, last = entry.groups()
            if entry.start() != place or int(begin) != end or kind.decode() not in TYPES or (starts and loads(name) <= before):
                return
            starts.append(entry.start())
            before, end, place = loads(name), int(last), entry.end()
        starts.append(place)
        self.starts = np.frombuffer(starts, np.int64)
        self.valid = header[:1] == b"{" and header[place:].strip() == b"}" and self.data + end == size

    def _entry(self, number: int) -> re.Match[bytes]:
        begin, end = self.starts[number : number + 2].tolist()
        found = ENTRY.fullmatch(os.pread(self.file.fileno(), end - begin, 8 + begin))
        assert found is not None  # __init__ has seen it
        return found

    def key_at(self, number: int) -> str:
        return loads(self._entry(number)[1])

    def array_at(self, number: int) -> np.ndarray:
        """The array with this number in the order of the names."""
        _, kind, shape, begin, end = self._entry(number).groups()
        content = os.pread(self.file.fileno(), int(end) - int(begin), self.data + int(begin))
        return np.frombuffer(content, TYPES[kind.decode()]).reshape([int(size) for size in shape.split(b",") if size])

    def __getitem__(self, name: str) -> np.ndarray:
        number = self.number(name)
        if number is None:
            raise KeyError(name)
        return self.array_at(number)

    def __contains__(self, name: object) -> bool:
        return self.number(name) is not None

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[str]:
        return map(self.key_at, range(len(self)))

    def sorted_items(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, array) in the order of the names."""
        return ((self.key_at(number), self.array_at(number)) for number in range(len(self)))
