"""Feature matrices in Kaldi archives; the only module that imports an archive library.

The library is kaldiio or, with the environment variable ASRLIB_ARK=omniio, omniio.kaldi, which has the same functions and file format.
"""

import functools
import importlib
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

VARIABLE = "ASRLIB_ARK"
SPEECH_FEATURE = 2  # Kaldi's one-byte compression in both libraries


class Library(NamedTuple):
    """save(stream, {utterance: matrix}, compression_method=) writes an entry, read(stream) reads the next object and raises one of `faults`."""

    save: Callable
    read: Callable
    faults: tuple[type[Exception], ...]


@functools.cache
def library(name: str) -> Library:
    """kaldiio or omniio. UserError: an unknown name, or the package is not installed."""
    faults = (OSError, ValueError, AssertionError, struct.error)
    try:
        if name == "kaldiio":
            import kaldiio
            from kaldiio.matio import read_matrix_or_vector

            return Library(kaldiio.save_ark, read_matrix_or_vector, faults)
        if name == "omniio":
            kaldi = importlib.import_module("omniio.kaldi")  # not in tools/requirements.lock
            return Library(kaldi.save_ark, kaldi.read_object, (*faults, kaldi.ReadError))
    except ModuleNotFoundError as error:
        package = (error.name or name).partition(".")[0]
        remedy = f"tools/venv/bin/python -m pip install --no-deps {package}"
        raise UserError(f"{VARIABLE}={name}: the package {package} is not installed: {remedy}") from None
    raise UserError(f"{VARIABLE}={name}: unknown archive library: set it to kaldiio or omniio")


def chosen() -> Library:
    """The library that the environment variable ASRLIB_ARK selects."""
    return library(os.environ.get(VARIABLE) or "kaldiio")


def write_ark(ark: str | Path, items: Iterable[tuple[str, np.ndarray]], compress: bool = False) -> list[tuple[str, str, int]]:
    """Writes (utterance, (frames, dim) float32) pairs atomically; returns (utterance, "path:offset" for feats.scp, frames) of each.

    compress: one byte per value, a quarter of the size, with an error below 1 % of each column's range.
    """
    save = chosen().save
    rows = []
    with atomic_write(ark, "wb") as stream:
        for utterance, matrix in items:
            offset = stream.tell() + len(utterance.encode()) + 1
            save(stream, {utterance: matrix}, compression_method=SPEECH_FEATURE if compress else None)
            rows.append((utterance, f"{Path(ark).resolve()}:{offset}", len(matrix)))
    return rows


def read_matrix(location: str, where: str, dim: int | None = None) -> np.ndarray:
    """The matrix at a "path:offset" of feats.scp, float32 (frames, dim). UserError: it cannot be read or has another dim; the message names `where`.

    Only binary Kaldi matrices are read, because the libraries' load_mat also runs commands, and kaldiio's also unpickles.
    """
    _, read, faults = chosen()
    path, _, offset = location.rpartition(":")
    try:
        with open(path, "rb") as stream:
            stream.seek(int(offset))
            if stream.read(2) != b"\0B":
                raise ValueError("no Kaldi matrix at this offset")
            stream.seek(-2, os.SEEK_CUR)
            matrix = np.asarray(read(stream), np.float32)
    except faults as error:
        reason = str(error) or "the archive is truncated"
        raise UserError(f"{where}: cannot read features at {location} ({reason}): run stage 2 again with --force true") from None
    if dim is not None and matrix.shape[1:] != (dim,):
        raise UserError(f"{where}: features of {matrix.shape[-1]} bins where the configuration has {dim}: run stage 2 again with it")
    return matrix
