"""Digests of audio files by which a changed corpus is noticed. They do not depend on names, places and times, so that copies have the same."""

import hashlib
import os
from collections.abc import Iterable, Sequence

from asrlib.corpora.audio_file import is_pipe, place
from asrlib.corpora.channels import Channel
from asrlib.utils.errors import UserError

BLOCK = 4096  # bytes


def file_digest(path: str, offset: int | None = None) -> str:
    """A digest of the size of a file and of its beginning, middle and end; with an offset, of an archive's size and its bytes from there on.

    UserError: it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            found = hashlib.sha256(str(size).encode())
            places = {0, max(0, size // 2 - BLOCK // 2), max(0, size - BLOCK)} if offset is None else {offset, offset + BLOCK, offset + 2 * BLOCK}
            for begin in sorted(places):
                found.update(os.pread(stream.fileno(), BLOCK, begin))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: check the path, or prepare the data again") from None
    return found.hexdigest()


def audio_digest(entries: Iterable[str], channels: Sequence[Channel | None] = ()) -> str:
    """A digest of the recordings of an utterance (values of wav.scp) and of its channels in them; a command counts by its text."""
    numbers = [f"channel {channel.number}" for channel in channels if channel]
    return " ".join([entry if is_pipe(entry) else file_digest(*place(entry)) for entry in entries] + numbers)
