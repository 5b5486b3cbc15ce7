"""Arrays by name in safetensors files: no pickles, written atomically."""

import json
import struct
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

Arrays = dict[str, np.ndarray]


def save_arrays(path: str | Path, arrays: Arrays, metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file one array at a time, because the library's functions either copy all arrays in memory or hide a full disk.

    Format: length of the header (8 bytes, little-endian), header (JSON, padded to 8 bytes), the arrays' bytes.
    """
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # every array aligned to its type
    header: dict = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name in order:
        array = arrays[name]
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _type(array), "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            stream.write(np.ascontiguousarray(arrays[name]).data)


def _type(array: np.ndarray) -> str:
    """F32, I64, U8, BOOL, ..."""
    return "BOOL" if array.dtype == bool else f"{'F' if array.dtype.kind == 'f' else array.dtype.kind.upper()}{8 * array.itemsize}"


def read_safetensors(path: str | Path) -> Arrays:
    """Arrays of a safetensors file. UserError: the file is missing, damaged or has bfloat16 arrays, which NumPy does not support."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        return load_file(path, backend="pread")  # a memory-mapped file would count twice in the process's memory
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path}: damaged checkpoint: {str(error).splitlines()[0]}") from None
    except (TypeError, AttributeError):
        raise UserError(f"{path}: the arrays have a type that NumPy does not support (bfloat16?): save them as float32") from None


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    with safe_open(path, "numpy") as file:
        return file.metadata() or {}
