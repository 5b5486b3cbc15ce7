"""What kind of file a checkpoint is, by its contents; weights and facts in it."""

import io
import json
import struct
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from asrlib.convert.torch_file import read_torch
from asrlib.utils.arrays import Arrays, read_safetensors
from asrlib.utils.errors import UserError

Kind = Literal["folder", "safetensors", "torch", "tar", "mindspore"]
STATES = ("model", "state_dict", "model_weight", "model_state_dict")  # keys of the weights in a checkpoint
FOREIGN = {  # first bytes -> kind of file
    b"\x89HDF": "an HDF5 file (Keras or TensorFlow)",
    b"GGUF": "a GGUF file",
    b"%PDF": "a PDF document",
    b"RIFF": "a recording",
    b"fLaC": "a recording",
    b"\x93NUMPY": "a NumPy array",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"BZh": "a bzip2 archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
}
FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")  # of transformers
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<error", b"<body")


class Checkpoint(NamedTuple):
    """Arrays by name, and everything else in the file: a dictionary of plain values and Inert objects."""

    arrays: Arrays
    rest: dict[str, Any]


def kind_of(path: str | Path) -> Kind:
    """The kind of a checkpoint by its first bytes; the name does not matter.

    UserError: it does not exist, is empty, or is something else, which is named: a pointer of Git LFS, a web page, another format.
    """
    path = Path(path)
    if path.is_dir():
        return "folder"
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    size = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(512)
    if not head:
        raise UserError(f"{path}: the file is empty: download or copy it again")
    if head.startswith(b"version https://git-lfs"):
        raise UserError(f"{path}: a pointer of Git LFS, not the file itself: run git lfs pull, or download the file")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGES):
        raise UserError(f"{path}: a web page, not a checkpoint: the address leads to a page about the file, or to a login")
    for begin, name in FOREIGN.items():
        if head.startswith(begin):
            raise UserError(f"{path}: {name}, not a checkpoint")
    if len(head) > 8 and head[8:9] == b"{":  # before the pickles: the length of the header may begin with any byte
        if struct.unpack("<Q", head[:8])[0] + 8 > size:
            raise UserError(f"{path}: the file is cut off after {size} bytes: download or copy it again")
        return "safetensors"
    if head[:2] == b"PK" or (head[0] == 0x80 and len(head) > 1 and head[1] <= 5):
        return "torch"
    if head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar":
        return "tar"
    if head[0] == 0x0A and b"\x0a" in head[1:12]:  # MindSpore's protocol buffer: a list of messages that begin with a name
        return "mindspore"
    raise UserError(f"{path}: not a checkpoint of PyTorch, safetensors or MindSpore{': a text' if _is_text(head) else ''}")


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Weights and facts of a .safetensors or torch.save file of any name, or of transformers' folder of a model.

    UserError: see kind_of, read_torch and read_safetensors; the folder has no weights in it.
    """
    kind = kind_of(path)
    if kind == "folder":
        return Checkpoint(_folder_arrays(Path(path)), {})
    if kind == "safetensors":
        return Checkpoint(read_safetensors(path), {})
    if kind != "torch":
        raise UserError(f"{path}: a {kind} checkpoint is not one of a pretrained model: give --train_config for NeMo's or the model zoo's CTC models")
    return weights_in(read_torch(path), str(path))


def weights_in(content: Any, where: str) -> Checkpoint:
    """The weights in the object of a torch.save file: a state, bare or under one of the keys STATES. UserError: there is none."""
    state, rest = content, dict[str, Any]()
    while isinstance(state, dict):
        key = next((key for key in STATES if isinstance(state.get(key), dict)), None)
        if key is None:
            break
        rest |= {name: value for name, value in state.items() if name != key}
        state = state[key]
    if not isinstance(state, dict) or not any(isinstance(value, np.ndarray) for value in state.values()):
        raise UserError(f"{where}: no model state found: save a dictionary of names and tensors")
    odd = [str(name) for name, value in state.items() if not isinstance(value, np.ndarray)]
    if odd:
        raise UserError(f"{where}: {odd[0]} is not a tensor of numbers: save a dictionary of names and tensors")
    return Checkpoint({str(name): np.asarray(value, value.dtype.newbyteorder("=")) for name, value in state.items()}, rest)


def _folder_arrays(folder: Path) -> Arrays:
    """The weights in a folder: one file, or the parts that an index lists."""
    for name in FOLDER_FILES:
        if (folder / name).is_file():
            return read_checkpoint(folder / name).arrays
        index = read_json(folder / f"{name}.index.json").get("weight_map")
        if isinstance(index, dict):
            parts = sorted({Path(str(part)).name for part in index.values()})  # names of files in this folder
            return {key: array for part in parts for key, array in read_checkpoint(folder / part).arrays.items()}
    others = sorted(path.name for path in folder.iterdir() if path.suffix in (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".nemo"))
    hint = f"; it has {', '.join(others[:3])}: give the file" if others else ""
    raise UserError(f"{folder}: no {' or '.join(FOLDER_FILES)} in the folder{hint}")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} without the file. UserError: it is damaged."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def _is_text(head: bytes) -> bool:
    try:
        io.TextIOWrapper(io.BytesIO(head), "utf-8").read(100)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
