"""Audio from a pipe, as it arrives: raw samples of 16 bits, or a WAV file with them, whose header need not know its length."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from asrlib.corpora.channels import Channel, one_channel
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)
UNKNOWN = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # lengths that programs write to pipes, and up to a header's size below the last two
PCM, EXTENSIBLE = 1, 0xFFFE
ADVICE = "give 16-bit PCM, as `ffmpeg -i FILE -f s16le -ac 1 -ar RATE -` or `arecord -f S16_LE -r RATE -` write it"


class PcmPipe:
    """rate: Hz, of the WAV header or as given. blocks(seconds): its samples.

    UserError: another coding than PCM of 16 bits, a header that ends early, no rate.
    """

    def __init__(self, stream: BinaryIO, rate: int, channel: int | None = None, name: str = "standard input"):
        """rate: of raw samples; channel: of WAV with several, from 0."""
        self.stream, self.rate, self.channels, self.channel, self.name = stream, rate, 1, channel, name
        self.begin, self.left = stream.read(4), None  # bytes of raw samples that have been read; bytes of samples in a WAV file
        if self.begin == b"RIFF":
            self.begin = b""
            self._read_header()

    def blocks(self, seconds: float) -> Iterator[np.ndarray]:
        """Samples (n,) float32 in [-1, 1] of that many seconds each, the last ones fewer."""
        frame = 2 * self.channels
        size = max(1, round(seconds * self.rate)) * frame
        while data := self._read(size):
            if len(data) % frame:
                log.warning("%s ends within a sample, which is left out", self.name)
                data = data[: len(data) // frame * frame]
            samples = np.frombuffer(data, "<i2").reshape(-1, self.channels).astype(np.float32) / np.float32(32768)
            if len(samples):
                yield one_channel(samples, None if self.channel is None else Channel(self.channel, alone=False), self.name)

    def _read(self, size: int) -> bytes:
        if self.left is not None:
            size = min(size, self.left)
        data, self.begin = self.begin + self.stream.read(max(0, size - len(self.begin))), b""
        if self.left is not None:
            if len(data) < size:
                log.warning("%s ends before its WAV header says", self.name)
            self.left -= len(data)
        return data

    def _exactly(self, size: int) -> bytes:
        data = self.stream.read(size)
        if len(data) < size:
            raise UserError(f"{self.name} ends within its WAV header: {ADVICE}")
        return data

    def _read_header(self) -> None:
        self._exactly(8)
        while True:
            kind, size = struct.unpack("<4sI", self._exactly(8))
            if kind == b"data":
                break
            content = self._exactly(size + size % 2)
            if kind == b"fmt ":
                coding, self.channels, self.rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
                coding = struct.unpack("<H", content[24:26])[0] if coding == EXTENSIBLE and len(content) >= 26 else coding
                if coding != PCM or bits != 16 or not self.channels or not self.rate:
                    raise UserError(f"{self.name} is WAV of coding {coding} with {bits} bits: {ADVICE}")
        self.left = None if any(0 <= limit - size < 4096 for limit in UNKNOWN) else size
