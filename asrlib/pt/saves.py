"""ESPnet's files of an epoch, whole or absent, so that a kill in the middle of writing them costs that epoch at most."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from asrlib.utils.files import atomic_write

CHECKPOINT = "checkpoint.pth"


@contextlib.contextmanager
def whole_saves() -> Iterator[None]:
    """Within it torch.save to a path goes through a temporary name, and checkpoint.pth appears after the weights that are saved next.

    ESPnet's trainer writes checkpoint.pth (where to go on) and then Nepoch.pth (what is averaged in the end): killed in between, it would go on after an epoch
    whose weights are nowhere.
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
