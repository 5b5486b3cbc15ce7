"""FLAC streams whose encoder wrote to a pipe and left the number of samples open (RFC 9639): it follows from the last frame."""

import functools
import hashlib
import struct
from typing import Any

import numpy as np
import soundfile

TAIL = 1 << 18  # bytes searched for the last frame; the longest frames of 8 channels are about this long
TOTAL = 21  # position of the byte whose lower half begins the number of samples (36 bits) in STREAMINFO, the first block


def filled_header(stream: Any, size: int) -> bytes | None:
    """The first bytes of the file with the number of samples, b"" if they have it; None if the stream does not end with a whole frame."""
    stream.seek(0)
    head = stream.read(42)
    if len(head) < 42 or head[TOTAL] & 0x0F or any(head[TOTAL + 1 : TOTAL + 5]):
        return b""
    stream.seek(max(42, size - TAIL))
    data = stream.read(TAIL)
    data = data[:-128] if data[-128:-125] == b"TAG" else data  # ID3, which some players append
    total = _samples(data, struct.unpack(">H", head[8:10])[0])
    if not total:
        return None
    return head[:TOTAL] + bytes([head[TOTAL] & 0xF0 | total >> 32]) + struct.pack(">I", total & 0xFFFFFFFF) + head[TOTAL + 5 :]


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


def _samples(data: bytes, block: int) -> int:
    """Samples up to the end of the last frame in `data`, with which it ends; 0 if there is none. block: samples of the other frames, if fixed."""
    place = len(data)
    while (place := data.rfind(b"\xff", 0, place)) >= 0:
        frame = data[place:]
        if len(frame) > 8 and frame[1] in (0xF8, 0xF9) and (found := _header(frame)) and not _crc(frame, 16, 0x8005):
            number, samples = found
            return samples + (number if frame[1] == 0xF9 else number * block)
    return 0


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
