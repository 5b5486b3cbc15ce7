"""What the header of an audio file promises, compared with the samples that are in the file.

libsndfile reads what it finds: a file that was cut gives fewer samples, one whose header has a size that is too small gives a part, both without
an error. `examine` finds such files, by the layouts of RIFF and RIFX/WAVE, RF64 and BW64 (EBU Tech 3306), W64 (Sony), AIFF, AU, CAF, NIST SPHERE,
FLAC (RFC 9639), MP3 and Ogg (RFC 3533), and makes another header with which libsndfile reads a whole recording with a wrong size to its end.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from asrlib.corpora.findings import Finding, Source, Truncated, is_open
from asrlib.corpora.flac import examine_flac
from asrlib.corpora.mp3 import examine_mp3, is_mp3
from asrlib.utils.errors import UserError

UNLIMITED = 1 << 40  # sizes of 64 bits beyond it are no sizes
PADDING = 1 << 16  # zero bytes that may follow the samples
TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")  # of MP3 players
CHUNKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"iXML", b"JUNK", b"PAD ", b"FLLR", b"fact", b"PEAK")  # which follow samples, also cut ones
HEADER = 128  # bytes that a writer may count too many (its own header: 4 to 68), 4 ms at 16 kHz


@dataclass(frozen=True)
class Samples:
    """The samples of a file: position of the first byte, bytes by the header (None: left open).

    corrected(header, n): the header, which ends where the samples begin, for n bytes of samples. chunks: how the chunks after the samples are laid
    out ("" if the format has none).
    """

    begin: int
    length: int | None
    corrected: Callable[[bytes, int], bytes]
    chunks: str = ""


def examine(stream: Source, size: int) -> Finding:
    """The finding for a file of `size` bytes; formats that are not listed above have none. Truncated: bytes are missing at its end.

    UserError: SPHERE with compressed samples, several recordings in a file.
    """
    stream.seek(0)
    magic = stream.read(4)
    if magic == b"fLaC":
        return examine_flac(stream, size)
    if magic == b"OggS":
        _check_ogg(stream, size)
        return Finding()
    if is_mp3(magic) or magic[:3] == b"ID3":
        begin = id3_length(stream)
        stream.seek(begin)
        return examine_mp3(stream, size, begin) if is_mp3(stream.read(4)) else Finding()
    reader = READERS.get(magic)
    try:
        samples = reader(stream, size) if reader else None
    except struct.error:  # the header itself is cut, which libsndfile reports
        samples = None
    return _judge(stream, size, samples) if samples else Finding()


def _judge(stream: Source, size: int, samples: Samples) -> Finding:
    promised, there = samples.length, size - samples.begin
    if promised == there or there <= 0:
        return Finding()
    if promised is None or not promised or is_open(promised, UNLIMITED):
        there -= _chunks_at_end(stream, samples.begin, size, samples.chunks)
    stream.seek(0)
    whole = partial(Finding, header=samples.corrected(stream.read(samples.begin), there), replaced=samples.begin)
    if promised is None or is_open(promised, UNLIMITED):
        return whole()
    if promised > there:
        if promised - there > min(HEADER, samples.begin):
            raise Truncated(f"{promised - there} bytes fewer than its header says")
        return whole(f"its header says {promised - there} bytes more than there are: read to its end")
    if not _more_samples(stream, samples.begin + promised, size, samples.chunks):
        return Finding()
    if not promised:  # a recorder that was killed before it could write the size
        return whole()
    return whole(f"its header says {promised} bytes of samples where {there} are: read to its end")


def _more_samples(stream: Source, position: int, size: int, layout: str) -> bool:
    """Whether samples follow where those of the header end, rather than chunks, tags or padding. UserError: another recording follows."""
    stream.seek(position)
    start = stream.read(min(size - position, PADDING))
    if not any(start) and position + len(start) == size:
        return False
    start = start[1:] if position % 2 and not start[0] else start
    if start[:4] in (*READERS, b"OggS", b"fLaC"):
        raise UserError(f"has another recording of {size - position} bytes after its samples: split it into two files")
    places = (position, position + position % 2) if layout else ()
    return not (start.startswith(TAGS) or any(_are_chunks(stream, place, size, layout) for place in places))


def id3_length(stream: Source) -> int:
    """Bytes of an ID3v2 tag at the beginning, 0 if there is none."""
    stream.seek(0)
    head = stream.read(10)
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:]) > 127:
        return 0
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)


def tag_before(stream: Source) -> int:
    """Bytes of an ID3v2 tag before audio of a format that `examine` knows, which hides it from libsndfile or from `examine`."""
    if not (length := id3_length(stream)):
        return 0
    stream.seek(length)
    return length if stream.read(4) in (*READERS, b"OggS", b"fLaC") else 0


def _chunks(stream: Source, position: int, size: int, layout: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, position of its content, length) of each chunk. layout: "<" or ">" (4-byte name and size), "caf" (4-byte name, 8-byte size), "w64"
    (16-byte name, size with header)."""
    head, step, form = {"w64": (24, 8, "<16sQ"), "caf": (12, 1, ">4sQ")}.get(layout, (8, 2, f"{layout}4sI"))
    while position + head <= size:
        stream.seek(position)
        name, length = struct.unpack(form, stream.read(head))
        if layout == "w64":
            length -= head
        yield name, position + head, length
        position += head + max(0, length + -length % step)


def _are_chunks(stream: Source, position: int, size: int, layout: str) -> bool:
    """Whether the rest of the file, from `position` (W64: the next multiple of 8) on, consists of chunks with names of letters."""
    end = position = position + (-position % 8 if layout == "w64" else 0)
    for name, begin, length in _chunks(stream, position, size, layout):
        if end == position and name[:4] in CHUNKS:
            return True
        if not (name[:4].isascii() and name[:4].decode("ascii").isprintable()) or length < 0 or begin + length > size:
            return False
        end = begin + length
    return end > position and size - end <= 8  # padding


def _chunks_at_end(stream: Source, begin: int, size: int, layout: str) -> int:
    """Bytes of the chunks of known names with which a RIFF or AIFF file ends, behind samples whose length was left open."""
    if layout not in ("<", ">"):
        return 0
    start = max(begin, size - PADDING)
    stream.seek(start)
    tail = stream.read(size - start)
    places = sorted(found.start() for name in CHUNKS for found in re.finditer(re.escape(name), tail))
    for place in places:
        end = place
        for name, content, length in _chunks(stream, start + place, size, layout):
            if name not in CHUNKS or content + length > size:
                break
            end = content + length - start
        if end in (len(tail), len(tail) - 1):
            return len(tail) - place
    return 0


def _riff(stream: Source, size: int) -> Samples | None:
    stream.seek(0)
    order = ">" if stream.read(4) == b"RIFX" else "<"
    wide = None  # position of the sizes of 64 bits
    for name, begin, length in _chunks(stream, 12, size, order):
        if name == b"ds64":
            wide = begin
        if name == b"data" and wide is not None:
            stream.seek(wide + 8)
            length = struct.unpack("<Q", stream.read(8))[0] if length == 0xFFFFFFFF else length
        if name == b"data":
            return Samples(begin, length, partial(_riff_header, order, wide), order)
    return None


def _riff_header(order: str, wide: int | None, head: bytes, length: int) -> bytes:
    sizes = struct.pack("<QQ", len(head) + length - 8, length)
    if wide is not None:
        return head[:wide] + sizes + head[wide + 16 : -4] + b"\xff" * 4
    if len(head) + length < 1 << 32:
        return head[:4] + struct.pack(f"{order}I", len(head) + length - 8) + head[8:-4] + struct.pack(f"{order}I", length)
    if order == ">":
        raise UserError("has more samples than a RIFX file can have: convert it to flac")
    sizes = struct.pack("<QQ", len(head) + 36 + length - 8, length)  # more than fits into RIFF: RF64, with a chunk of larger sizes
    return b"RF64" + b"\xff" * 4 + b"WAVEds64" + struct.pack("<I", 28) + sizes + bytes(12) + head[12:-4] + b"\xff" * 4


def _w64(stream: Source, size: int) -> Samples | None:
    for name, begin, length in _chunks(stream, 40, size, "w64"):
        if name[:4] == b"data":
            return Samples(begin, max(0, length), _w64_header, "w64")
    return None


def _w64_header(head: bytes, length: int) -> bytes:
    return head[:16] + struct.pack("<Q", len(head) + length) + head[24:-8] + struct.pack("<Q", length + 24)


def _aiff(stream: Source, size: int) -> Samples | None:
    stream.seek(8)
    compressed = stream.read(4) == b"AIFC"
    common, width = 0, 0  # position of the number of frames, bytes of a frame (0: compressed)
    for name, begin, length in _chunks(stream, 12, size, ">"):
        if name == b"COMM":
            stream.seek(begin)
            channels, _, bits = struct.unpack(">HIH", stream.read(8))
            stream.seek(begin + 18)
            plain = not compressed or stream.read(4) in (b"NONE", b"sowt", b"twos", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64")
            common, width = begin + 2, channels * -(-bits // 8) if plain else 0
        if name == b"SSND":
            stream.seek(begin)
            offset = struct.unpack(">I", stream.read(4))[0]
            return Samples(begin + 8 + offset, max(0, length - 8 - offset), partial(_aiff_header, 8 + offset, common, width), ">")
    return None


def _aiff_header(inside: int, common: int, width: int, head: bytes, length: int) -> bytes:
    """inside: bytes of the header that belong to the chunk of the samples."""
    if common and width:
        head = head[:common] + struct.pack(">I", length // width) + head[common + 4 :]
    sizes = [struct.pack(">I", min(size, 0xFFFFFFFF)) for size in (len(head) + length - 8, inside + length)]
    return head[:4] + sizes[0] + head[8 : -inside - 4] + sizes[1] + head[-inside:]


def _au(stream: Source, size: int) -> Samples:
    stream.seek(0)
    order = ">" if stream.read(4) == b".snd" else "<"
    begin, length = struct.unpack(f"{order}II", stream.read(8))
    return Samples(begin, length, partial(_au_header, order))


def _au_header(order: str, head: bytes, length: int) -> bytes:
    return head[:8] + struct.pack(f"{order}I", min(length, 0xFFFFFFFF)) + head[12:]


def _caf(stream: Source, size: int) -> Samples | None:
    for name, begin, length in _chunks(stream, 8, size, "caf"):
        if name == b"data":  # 4 bytes, a number of edits, are before the samples; -1: left open
            return Samples(begin + 4, length if length >= UNLIMITED else max(0, length - 4), _caf_header, "caf")
    return None


def _caf_header(head: bytes, length: int) -> bytes:
    return head[:-12] + struct.pack(">Q", length + 4) + head[-4:]


def _sphere(stream: Source, size: int) -> Samples | None:
    stream.seek(0)
    lines = stream.read(16).split(b"\n")
    if len(lines) < 2 or not lines[1].strip().isdigit():
        return None
    begin = int(lines[1])
    stream.seek(0)
    rows = [line.split(maxsplit=2) for line in stream.read(begin).decode("latin-1").splitlines()]
    fields = {row[0]: row[2].strip() for row in rows if len(row) == 3}
    coding = fields.get("sample_coding", "pcm")
    if "embedded-" in coding or stream.read(4) == b"ajkg":
        name = coding.partition("embedded-")[2] or "shorten"
        raise UserError(f"is SPHERE audio compressed with {name}: convert it with sph2pipe -f wav IN.sph OUT.wav, or name a command in wav.scp")
    try:
        length = int(fields["sample_count"]) * int(fields.get("channel_count", 1)) * int(fields.get("sample_n_bytes", 2))
    except (KeyError, ValueError):
        return Samples(begin, None, _sphere_header)
    return Samples(begin, length, _sphere_header)


def _sphere_header(head: bytes, _: int) -> bytes:
    """libsndfile takes the length of SPHERE audio from the size of the file."""
    return head


READERS: dict[bytes, Callable[[Source, int], Samples | None]] = {
    **{b"RIFF": _riff, b"RIFX": _riff, b"RF64": _riff, b"BW64": _riff, b"riff": _w64},
    **{b"FORM": _aiff, b".snd": _au, b"dns.": _au, b"NIST": _sphere, b"caff": _caf},
}


def _check_ogg(stream: Source, size: int) -> None:
    """Truncated: the last page, which has a flag, is missing or incomplete. UserError: a file of several streams."""
    stream.seek(14)
    serial = stream.read(4)
    tail = min(size, 2 * 65307)  # 65307 bytes: the longest page
    stream.seek(size - tail)
    data = stream.read(tail)
    page = data.rfind(b"OggS")
    header = data[page : page + 27]
    lacing = data[page + 27 : page + 27 + header[26]] if len(header) == 27 else b""
    complete = len(header) == 27 and len(lacing) == header[26] and page + 27 + len(lacing) + sum(lacing) <= len(data)
    if not (complete and header[5] & 0x04):
        raise Truncated("its last ogg page is missing or truncated")
    if header[14:18] != serial:
        raise UserError("consists of several ogg streams, of which libsndfile reads only the first: convert it to wav or flac")
