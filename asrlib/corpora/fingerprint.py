"""Digests of audio files by which a changed corpus is noticed. They do not depend on names, places and times, so that copies have the same."""

import hashlib
import os
from collections.abc import Iterable

from asrlib.corpora.audio import is_pipe
from asrlib.utils.errors import UserError

BLOCK = 4096  # bytes


def file_digest(path: str) -> str:
    """A digest of the size of a file and of its beginning, middle and end. UserError: it cannot be read."""
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            found = hashlib.sha256(str(size).encode())
            for place in sorted({0, max(0, size // 2 - BLOCK // 2), max(0, size - BLOCK)}):
                found.update(os.pread(stream.fileno(), BLOCK, place))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: check the path, or prepare the data again") from None
    return found.hexdigest()


def audio_digest(entries: Iterable[str]) -> str:
    """A digest of the recordings of an utterance (values of wav.scp); a command counts by its text."""
    return " ".join(entry if is_pipe(entry) else file_digest(entry) for entry in entries)
