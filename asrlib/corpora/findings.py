"""What `asrlib.corpora.containers` and `asrlib.corpora.flac` say of a file's header."""

from dataclasses import dataclass
from typing import Protocol

from asrlib.utils.errors import UserError

OPEN = (0x7F000000, 0x7FFFF000, 0x80000000, 0xFFFFFFFF)  # written on a pipe instead of a size (sox: the first two), some minus the header's length
NEAR = 4096  # around them


class Source(Protocol):
    """What is read of a binary file."""

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


class Truncated(UserError):
    """The file is shorter than its header says."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with a header ("": nothing), and if it must be replaced, the one in place of the first `replaced` bytes of the file.

    skipped: bytes of a tag before the audio.
    """

    note: str = ""
    header: bytes = b""
    replaced: int = 0
    skipped: int = 0

    @property
    def plain(self) -> bool:
        """Whether the file is read as it is."""
        return not (self.header or self.skipped)


def is_open(length: int, unlimited: int) -> bool:
    """Whether a length of bytes or samples stands for one that is not known. unlimited: the first that is none."""
    return length >= unlimited or any(abs(length - mark) <= NEAR for mark in OPEN)
