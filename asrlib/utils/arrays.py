"""Arrays by name in safetensors files: no pickles, written atomically."""

import json
import struct
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import load_file

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger

Arrays = dict[str, np.ndarray]
BFLOAT16 = np.dtype([("bfloat16", "<u2")])  # NumPy has no bfloat16: the upper halves of float32 numbers; `widened` makes float32 of them
TYPES: dict[str, np.dtype | str] = {  # of safetensors
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?", "BF16": BFLOAT16,
}  # fmt: skip

log = get_logger(__name__)


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
    """Arrays of a safetensors file; those of bfloat16 have the type BFLOAT16. UserError: the file is missing or damaged, or has float8 arrays."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        return load_file(path, backend="pread")  # a memory-mapped file would count twice in the process's memory
    except (SafetensorError, ValueError) as error:
        if "not fully covered" in str(error):
            size = Path(path).stat().st_size
            raise UserError(f"{path}: damaged checkpoint: its size, {size} bytes, is not that of its header: download or copy it again") from None
        raise UserError(f"{path}: damaged checkpoint: {str(error).splitlines()[0]}") from None
    except (TypeError, AttributeError, KeyError):  # a type that NumPy does not have
        found = deserialize(Path(path).read_bytes())
    other = {facts["dtype"] for _, facts in found} - TYPES.keys()
    if other:
        raise UserError(f"{path}: its arrays have the type {min(other)}, which is not read: save them as float32")
    return {name: np.frombuffer(facts["data"], TYPES[facts["dtype"]]).reshape(facts["shape"]) for name, facts in found}


def widened(arrays: Arrays, where: str | Path) -> Arrays:
    """The arrays with float32 instead of float16 and bfloat16, which is exact; a line in the log tells it."""
    found, names = {}, {"float16": 0, "bfloat16": 0}
    for name, array in arrays.items():
        kind = "bfloat16" if array.dtype.names == BFLOAT16.names else array.dtype.name  # the name: of the package ml_dtypes, which MindSpore imports
        if kind not in names:
            found[name] = array
            continue
        names[kind] += 1
        found[name] = (array["bfloat16"].astype(np.uint32) << 16).view(np.float32) if array.dtype.names else array.astype(np.float32)
    for kind, count in names.items():
        if count:
            log.info("%s: %d of %d arrays are %s: widened to float32", where, count, len(arrays), kind)
    return found


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    with safe_open(path, "numpy") as file:
        return file.metadata() or {}
