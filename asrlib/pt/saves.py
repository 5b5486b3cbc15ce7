"""Atomic writing of ESPnet's checkpoints, so that an interrupted run loses at most one epoch."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from asrlib.utils.files import atomic_write

CHECKPOINT = "checkpoint.pth"


@contextlib.contextmanager
def whole_saves() -> Iterator[None]:
    """In this context, torch.save writes files atomically, and checkpoint.pth only appears after the next file is saved.

    ESPnet's trainer writes checkpoint.pth (from which it resumes) before Nepoch.pth (which is averaged at the end). If it were killed in between,
    it would resume after an epoch whose weights are missing.
    """
    plain, waiting = torch.save, []

    def save(obj, f, *args, **kwargs):
        if not isinstance(f, str | os.PathLike):
            plain(obj, f, *args, **kwargs)
            return
        path = Path(f)
        held = path.with_name(f".{path.name}.held")
        with atomic_write(held if path.name == CHECKPOINT else path, "wb") as stream:
            plain(obj, stream, *args, **kwargs)
        if path.name == CHECKPOINT:
            waiting.append((held, path))
        elif waiting:
            os.replace(*waiting.pop())

    torch.save = save
    try:
        yield
    finally:
        torch.save = plain
