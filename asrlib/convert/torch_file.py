"""Files of torch.save, read without PyTorch and without running code: archives (since PyTorch 1.6) and the older sequence of pickles.

Arrays are views of the file, which is mapped into memory: what is not used is not read.
"""

import io
import mmap
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np

from asrlib.convert.unpickle import RunsCode, Storage, Unpickler
from asrlib.utils.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of an older file
DAMAGE = (EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError,
          struct.error, pickle.UnpicklingError, zipfile.BadZipFile)  # fmt: skip


def read_torch(path: str | Path) -> Any:
    """The object in a torch.save file, or in a plain pickle: dictionaries, lists, plain values, NumPy arrays; Inert objects for all other classes.

    bfloat16 has the type asrlib.utils.arrays.BFLOAT16. The arrays may be written to; that does not change the file.
    UserError: the file is cut or damaged, an archive of another kind, or would run code.
    """
    path = Path(path)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    try:
        return _read_archive(path, mapped) if mapped[:2] == b"PK" else _read_sequence(path, mapped)
    except RunsCode as error:
        raise UserError(f"{path}: refused, because loading it could run code: {error}; nothing of it was run") from None
    except DAMAGE as error:
        raise UserError(f"{path}: damaged checkpoint: {str(error) or type(error).__name__}") from None


def _read_archive(path: Path, mapped: mmap.mmap) -> Any:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise UserError(f"{path}: the archive is cut off after {len(mapped)} bytes: download or copy it again") from None
    with archive:
        found = {name.rpartition("/")[2]: name for name in archive.namelist() if name.count("/") <= 1}
        if "data.pkl" not in found:
            raise UserError(f"{path}: a zip archive, but not of PyTorch (no data.pkl in it): give the file that is in it")
        if "constants.pkl" in found:
            raise UserError(f"{path}: a TorchScript program, not weights: save model.state_dict() with torch.save")
        root = found["data.pkl"].removesuffix("data.pkl")
        big = "byteorder" in found and archive.read(found["byteorder"]).strip() == b"big"
        storages: dict[str, np.ndarray] = {}

        def numbers(storage: Storage) -> np.ndarray:
            dtype = storage.dtype.newbyteorder(">") if big else storage.dtype
            if storage.key not in storages:
                storages[storage.key] = _stored(archive, f"{root}data/{storage.key}", mapped)
            return _typed(storages[storage.key], dtype, storage.length)

        return Unpickler(io.BytesIO(archive.read(found["data.pkl"])), numbers).load()


def _stored(archive: zipfile.ZipFile, name: str, mapped: mmap.mmap) -> np.ndarray:
    """The bytes of a member: a view of the file unless they are compressed."""
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        return np.frombuffer(bytearray(archive.read(name)), np.uint8)
    name_length, extra_length = struct.unpack_from("<HH", mapped, member.header_offset + 26)
    begin = member.header_offset + 30 + name_length + extra_length
    if begin + member.file_size > len(mapped):
        raise EOFError(f"{name} is cut off")
    return np.frombuffer(mapped, np.uint8, member.file_size, begin)


def _typed(data: np.ndarray, dtype: np.dtype, count: int) -> np.ndarray:
    if count * dtype.itemsize > len(data):
        raise EOFError(f"a storage has {len(data)} bytes instead of {count * dtype.itemsize}")
    return data[: count * dtype.itemsize].view(dtype)


def _read_sequence(path: Path, mapped: mmap.mmap) -> Any:
    """An older file: magic number, version, facts of the machine, the object, the keys of the storages, the storages; or a single pickle.

    The object is read twice, because the places of its storages are known only after it.
    """
    mapped.seek(0)
    first = _load(mapped, _no_numbers)
    if first != MAGIC:
        return first
    _, machine = _load(mapped, _no_numbers), _load(mapped, _no_numbers)
    order: Literal["<", ">"] = ">" if isinstance(machine, dict) and machine.get("little_endian") is False else "<"
    begin, storages = mapped.tell(), dict[str, Storage]()

    def note(storage: Storage) -> np.ndarray:
        storages[storage.key] = storage
        return np.zeros(storage.length, storage.dtype)  # the right length; the memory is not touched

    _load(mapped, note)
    keys = _load(mapped, _no_numbers)
    places, place = dict[str, int](), mapped.tell()
    for key in keys:
        storage = storages[str(key)]
        (count,) = struct.unpack_from(f"{order}q", mapped, place)
        places[storage.key] = place + 8
        place += 8 + count * storage.dtype.itemsize
        if count != storage.length or place > len(mapped):
            raise UserError(f"{path}: the file is cut off or damaged after {len(mapped)} bytes: download or copy it again")

    def numbers(storage: Storage) -> np.ndarray:
        return np.frombuffer(mapped, storage.dtype.newbyteorder(order), storage.length, places[storage.key])

    mapped.seek(begin)
    return _load(mapped, numbers)


def _load(stream: mmap.mmap, numbers: Callable[[Storage], np.ndarray]) -> Any:
    return Unpickler(cast(IO[bytes], _Stream(stream)), numbers).load()


def _no_numbers(storage: Storage) -> np.ndarray:
    raise ValueError("a tensor outside of the object")


class _Stream:
    """A file as pickle needs it. Without `peek` and `readinto`, nothing behind the pickle is read."""

    def __init__(self, stream: mmap.mmap):
        self.read, self.readline = stream.read, stream.readline
