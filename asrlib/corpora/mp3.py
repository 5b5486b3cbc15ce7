"""MP3 (MPEG-1 and 2, layer III) whose length is not known or wrong: its frames are counted.

libsndfile takes the length from the Xing or Info header, or guesses it from the first frame's bit rate, and reads no further.
"""

import struct
from dataclasses import dataclass, field

from asrlib.corpora.findings import Finding, Source, Truncated, is_open
from asrlib.utils.errors import UserError

BITRATES = {  # kbit/s by version (3: MPEG-1)
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44100, 48000, 32000)
TAGS = (b"TAG", b"APETAGEX", b"LYRICS", b"ID3")
LARGEST = 1 << 30  # bytes of a file whose frames are counted
UNLIMITED = 1 << 31
NEAR = 1  # frames: some encoders count the header, others do not


def is_mp3(magic: bytes) -> bool:
    """Whether the first 4 bytes are the header of a frame of layer III."""
    return len(magic) == 4 and magic[0] == 0xFF and magic[1] & 0xE6 == 0xE2


def examine_mp3(stream: Source, size: int, begin: int = 0) -> Finding:
    """The finding for a file whose first frame is at `begin`. Truncated: frames are missing. UserError: another recording follows."""
    stream.seek(begin)
    data = stream.read(size - begin) if size - begin <= LARGEST else b""
    first, found = _length(data, 0), _count(data)
    if not first or found is None:
        return Finding()  # not counted: libsndfile decides
    place, promised = _promise(data)
    there = found.frames - bool(place)
    if promised and not is_open(promised, UNLIMITED):
        if there < promised - NEAR or (found.cut and there < promised):
            raise Truncated(f"{promised - there} frames fewer than its header says")
        if there <= promised + NEAR:
            return Finding()
        note = f"its header says {promised} frames where {there} are: read to its end"
    elif found.cut:
        raise Truncated("its last frame is incomplete")
    elif not place and len(found.lengths) <= 1:  # of a constant bit rate: the guess is right
        return Finding()
    else:
        note = ""
    stream.seek(0)
    head = stream.read(begin)
    if promised is None:
        return Finding(note, head + _header(data, first, there), begin)
    head += data[: place + 8] + struct.pack(">I", there)
    return Finding(note, head, len(head))


@dataclass
class _Count:
    """Whole frames, the different lengths of them without padding, whether the last one is incomplete."""

    frames: int = 0
    lengths: set[int] = field(default_factory=set)
    cut: bool = False


def _count(data: bytes) -> _Count | None:
    """The frames of a file; None if something else is between them."""
    count, position = _Count(), 0
    while position + 4 <= len(data) and (length := _length(data, position)):
        if position and _promise(data, position)[0]:
            raise UserError(f"has another recording of {len(data) - position} bytes after its samples: split it into two files")
        if position + length > len(data):
            count.cut = True
            return count
        count.frames, position = count.frames + 1, position + length
        count.lengths.add(length - (data[position + 2 - length] >> 1 & 1))
    rest = data[position : position + 8]
    return count if not any(rest) or rest.startswith(TAGS) or len(rest) < 4 else None


def _length(data: bytes, position: int) -> int:
    """Bytes of the frame whose header is at a position; 0 if there is none."""
    head = data[position : position + 4]
    version, index = (head[1] >> 3) & 3 if is_mp3(head) else 1, head[2] >> 4 if len(head) == 4 else 15
    if version == 1 or index in (0, 15) or head[2] >> 2 & 3 == 3:
        return 0
    rate = RATES[head[2] >> 2 & 3] >> (0 if version == 3 else 1 if version == 2 else 2)
    return (144 if version == 3 else 72) * BITRATES[version == 3][index] * 1000 // rate + (head[2] >> 1 & 1)


def _promise(data: bytes, position: int = 0) -> tuple[int, int | None]:
    """Place of the Xing or Info header in the frame at a position, 0 if it has none, and the number of frames by it, if it has one."""
    place = _inside(data, position)
    if data[place : place + 4] not in (b"Xing", b"Info"):
        return 0, None
    flags, frames = struct.unpack(">II", data[place + 4 : place + 12].ljust(8, b"\0"))
    return place, frames if flags & 1 else None


def _inside(data: bytes, position: int) -> int:
    """The place behind the side information of a frame."""
    mono, mpeg1 = data[position + 3] >> 6 == 3, data[position + 1] >> 3 & 3 == 3
    return position + 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))


def _header(data: bytes, length: int, frames: int) -> bytes:
    """A frame with a Xing header, like the first one, to be put before it."""
    return (data[:4] + bytes(_inside(data, 0) - 4) + b"Xing" + struct.pack(">II", 1, frames)).ljust(length, b"\0")[:length]
