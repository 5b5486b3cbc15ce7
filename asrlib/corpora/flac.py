"""FLAC streams whose header has no number of samples, as encoders on a pipe write it, or a wrong one (RFC 9639): it follows from the last frame."""

import functools
import hashlib
import struct
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import soundfile

from asrlib.corpora.findings import Finding, Source, Truncated, is_open
from asrlib.utils.errors import UserError

TAIL = 1 << 18  # bytes searched for the last frame; the longest frames of 8 channels are about this long
TOTAL = 21  # position of the byte whose lower half begins the number of samples (36 bits) in STREAMINFO, the first block
UNLIMITED = (1 << 36) - 4096
START = b"fLaC\0\0\0\x22"  # of a stream whose STREAMINFO is not its only block


def examine_flac(stream: Source, size: int) -> Finding:
    """The finding for a stream: its number of samples, if it is unknown or wrong, is replaced by that of the frames.

    With too many samples in the header the stream may have been cut between two frames: only its MD5 (`is_whole`), if it has one, tells.
    Truncated: the last frame is incomplete, or frames are missing. UserError: another recording follows.
    """
    stream.seek(0)
    head = stream.read(42)
    if len(head) < 42:  # which libsndfile reports
        return Finding()
    promised, block = (head[TOTAL] & 0x0F) << 32 | int.from_bytes(head[TOTAL + 1 : TOTAL + 5], "big"), int.from_bytes(head[8:10], "big")
    stream.seek(max(42, size - TAIL))
    data = stream.read(TAIL)
    data = data[:-128] if data[-128:-125] == b"TAG" else data  # ID3, which some players append
    last = next(_frames(data, block), None)
    whole = bool(promised and last and last.end == promised)  # the usual file, without the sum over its last frame
    there = promised if whole else next((frame.end for frame in _frames(data, block) if not _crc(data[frame.begin :], 16, 0x8005)), 0)
    if not there:
        if not promised or _goes_on(list(_frames(data, block)), promised):
            raise Truncated("its last frame is incomplete")
        return Finding()  # libsndfile misses the end, or only tags and padding follow it
    if there != promised or _is_longer(stream, size, head, promised):
        _refuse_another(stream, size)
    return Finding() if there == promised else _with_length(head, promised, there)


def _with_length(head: bytes, promised: int, there: int) -> Finding:
    header = head[:TOTAL] + bytes([head[TOTAL] & 0xF0 | there >> 32]) + struct.pack(">I", there & 0xFFFFFFFF) + head[TOTAL + 5 :]
    whole = partial(Finding, header=header, replaced=len(header))
    if not promised or is_open(promised, UNLIMITED):
        return whole("")
    if promised < there:
        return whole(f"its header says {promised} samples where {there} are: read to its end")
    if not any(head[26:42]):
        raise Truncated(f"{promised - there} samples fewer than its header says")
    return whole(f"its header says {promised - there} samples more than there are: read to its end")


def _goes_on(frames: list["_Frame"], promised: int) -> bool:
    """Whether a frame begins behind the promised samples; what looks like one by chance is alone of its kind."""
    kinds = Counter(frame.kind for frame in frames)
    return any(frame.end > promised and (kinds[frame.kind] > 1 or len(frames) == 1) for frame in frames)


def _is_longer(stream: Source, size: int, head: bytes, samples: int) -> bool:
    """Whether the file is longer than its frames can be by STREAMINFO: the size of the longest one."""
    longest, block, position, last = int.from_bytes(head[15:18], "big"), int.from_bytes(head[10:12], "big"), 4, False
    while not last and position < size:
        stream.seek(position)
        row = stream.read(4)
        last, position = row[0] > 127, position + 4 + int.from_bytes(row[1:], "big")
    return bool(longest and block) and size - position > -(-samples // block) * longest


def _refuse_another(stream: Source, size: int) -> None:
    position = 4
    while position < size:
        stream.seek(position)
        found = stream.read(1 << 20).find(START)
        if found >= 0:
            raise UserError(f"has another recording of {size - position - found} bytes after its samples: split it into two files")
        position += (1 << 20) - len(START)


def is_whole(sound: soundfile.SoundFile, expected: bytes) -> bool:
    """Whether the decoded samples have the MD5 of STREAMINFO (16 zero bytes: not known): a stream cut between two frames has not."""
    if not any(expected):
        return True
    bits = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}[sound.subtype]
    found = hashlib.md5(usedforsecurity=False)
    try:
        for block in sound.blocks(1 << 20, dtype="int32", always_2d=True):
            little = np.ascontiguousarray(block >> 32 - bits).astype("<i4").reshape(-1, 1).view(np.uint8)
            found.update(little[:, : bits // 8].tobytes())
    except soundfile.LibsndfileError:
        return False
    sound.seek(0)
    return found.digest() == expected


class _Frame(NamedTuple):
    """Position of the header, number of samples up to the frame's end, what the headers of a stream have in common."""

    begin: int
    end: int
    kind: tuple[int, int, int]


def _frames(data: bytes, block: int) -> Iterator[_Frame]:
    """What look like frames in `data`, the last one first. block: samples of every frame but the last, if it is fixed."""
    place = len(data)
    while (place := data.rfind(b"\xff", 0, place)) >= 0:
        frame = data[place : place + 16]
        if len(frame) > 8 and frame[1] in (0xF8, 0xF9) and (found := _header(frame)):
            number, samples = found
            end = samples + (number if frame[1] == 0xF9 else number * block)
            yield _Frame(place, end, (frame[1], frame[2] & 0x0F, frame[3] & 0x0F))


def _header(frame: bytes) -> tuple[int, int] | None:
    """Number of the frame (fixed block size) or of its first sample, and samples in the frame; None if it is no header of a frame."""
    extra = max(0, 8 - (frame[4] ^ 0xFF).bit_length() - 1)  # bytes of the number after the first, as in UTF-8: leading ones - 1
    number = frame[4] & (0x7F >> extra + 1 if extra else 0x7F)
    for byte in frame[5 : 5 + extra]:
        number = number << 6 | byte & 0x3F
    place, code, rate = 5 + extra, frame[2] >> 4, frame[2] & 0x0F
    wide = {6: 1, 7: 2}.get(code, 0)  # bytes of the block size
    end = place + wide + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if end >= len(frame) or not code or _crc(frame[: end + 1], 8, 0x07):
        return None
    if wide:
        return number, int.from_bytes(frame[place : place + wide], "big") + 1
    return number, 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """CRC without reflection, initially 0; of data with its own CRC at the end it is 0."""
    table = _table(bits, polynomial)
    mask, remainder = (1 << bits) - 1, 0
    for byte in data:
        remainder = (remainder << 8 & mask) ^ table[remainder >> bits - 8 ^ byte]
    return remainder


@functools.cache
def _table(bits: int, polynomial: int) -> list[int]:
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
        table.append(value)
    return table
