"""Opening of audio files, of places in archives and of commands as in Kaldi's wav.scp.

A place is `FILE.ark:BYTE`, as ESPnet (audio_format wav.ark, flac.ark) and kaldiio write: at that byte an audio file begins, or kaldiio's word AUDIO
with the length of one. A command ends in `|` and writes an audio file to its output.
"""

import dataclasses
import functools
import io
import os
import re
import struct
import subprocess
from pathlib import Path

import soundfile

from asrlib.corpora import flac
from asrlib.corpora.containers import examine, tag_before
from asrlib.corpora.findings import Finding, Truncated
from asrlib.utils.errors import UserError
from asrlib.utils.files import other_form
from asrlib.utils.log import get_logger

log = get_logger(__name__)

# extension -> libsndfile's names of the formats that such files hold; transcribe takes files with these extensions from folders
EXTENSIONS = {
    **{"wav": {"WAV", "WAVEX", "RF64"}, "rf64": {"RF64"}, "w64": {"W64"}, "flac": {"FLAC"}, "ogg": {"OGG"}, "oga": {"OGG"}, "opus": {"OGG"}},
    **{"mp3": {"MP3", "MPEG"}, "sph": {"NIST"}, "aif": {"AIFF"}, "aiff": {"AIFF"}, "aifc": {"AIFF"}, "au": {"AU"}, "snd": {"AU"}, "caf": {"CAF"}},
}
FFMPEG = "convert it with ffmpeg -i IN OUT.wav, or name a command in wav.scp"
OTHERS = [  # place and bytes (lower case) by which other files are known
    (0, b"version https://git-lfs", "a Git LFS pointer, not the audio itself: run git lfs pull"),
    (0, b"<!doctype", "a web page, not audio: download it again"),
    (0, b"<html", "a web page, not audio: download it again"),
    (0, b"<?xml", "an XML text, not audio: download it again"),
    (0, b"\x1f\x8b", "compressed with gzip: unpack it"),
    (0, b"pk\3\4", "a zip archive: unpack it"),
    (0, b"ajkg", "compressed with shorten: convert it with sph2pipe or shorten -x, or name a command in wav.scp"),
    (0, b"wvpk", f"WavPack audio: {FFMPEG}"),
    (4, b"ftyp", f"MP4 (m4a) audio: {FFMPEG}"),
    (0, bytes.fromhex("3026b275"), f"Windows media audio: {FFMPEG}"),
    (0, b"#!amr", f"AMR audio: {FFMPEG}"),
    (0, b"\x1a\x65\xdf\xa3", f"WebM or Matroska audio: {FFMPEG}"),
]
LONGEST = 1 << 48  # libsndfile gives more frames for files whose length is left open


def is_pipe(entry: str) -> bool:
    """Whether a value of wav.scp is a command ("cmd |") rather than a path."""
    return entry.rstrip().endswith("|")


def place(entry: str | Path) -> tuple[str, int | None]:
    """The file of an entry, and the byte in it if the entry is a place in an archive. A file whose own name ends so is a file."""
    match = re.fullmatch(r"(.+):([0-9]+)", str(entry), re.DOTALL)
    if match is None or os.path.exists(entry):
        return str(entry), None
    return match[1], int(match[2])


def open_entry(entry: str | Path) -> tuple[soundfile.SoundFile, Finding]:
    """Opens a path or a place; also returns what was found in its header.

    UserError: the file is missing, empty, truncated, compressed SPHERE or not audio; the archive holds no audio at that byte.
    """
    path, offset = place(entry)
    if not os.path.exists(path) and re.search(r"\.ark(:[0-9]+)?\[[0-9:,]*\]$", path):
        raise UserError(f"{entry}: ranges of archives ([FIRST:LAST]) are not read: name the part in `segments`, or write the audio to files")
    if not os.path.exists(path):
        raise UserError(f"audio file {path} does not exist: {other_form(path) or 'check its path'}")
    if not os.path.isfile(path):
        raise UserError(f"{path} is a {'folder' if os.path.isdir(path) else 'special file'}, not an audio file")
    try:
        stream = _View(io.FileIO(path), 0, os.path.getsize(path))
    except PermissionError as error:
        raise UserError(f"audio file {path} cannot be read (permission denied): correct its permissions") from error
    if not stream.size:
        stream.close()
        raise UserError(f"audio file {path} is empty (0 bytes): download or create it again")
    try:
        if offset is not None:
            _enter(stream, offset, entry)
        return _opened(stream, entry, None if offset is not None else path)
    except BaseException:
        stream.close()
        raise


def open_command(entry: str) -> tuple[soundfile.SoundFile, Finding]:
    """Runs the command of an entry and opens its output, as open_entry. UserError also: the command fails."""
    command = entry.strip()[:-1]
    if "\0" in command:
        raise UserError(f"the command {command.strip()!r} of wav.scp has a zero byte: correct it")
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0 or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise UserError(f"the command {command.strip()!r} of wav.scp failed with code {done.returncode}: {reason[0]}")
    return _opened(_View(io.BytesIO(done.stdout), 0, len(done.stdout)), entry, None)


class _View(io.RawIOBase):
    """`size` bytes of a stream from `begin` on, after `header`."""

    def __init__(self, stream: io.RawIOBase | io.BytesIO, begin: int, size: int):
        self.stream, self.begin, self.size, self.header = stream, begin, size, b""
        self.position = 0

    def narrow(self, begin: int, size: int, header: bytes = b"") -> None:
        """Goes to the start of a view of `size` bytes of this one from `begin` on, after `header`."""
        self.begin, self.size, self.header, self.position = self.begin + begin, size, header, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        end = len(self.header) + self.size
        self.position = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: end}[whence])
        return self.position

    def read(self, size: int = -1) -> bytes:
        left = max(0, len(self.header) + self.size - self.position)
        size = left if size < 0 else min(size, left)
        data = self.header[self.position : self.position + size]
        if len(data) < size:
            self.stream.seek(self.begin + self.position + len(data) - len(self.header))
            data += self.stream.read(size - len(data)) or b""
        self.position += len(data)
        return data

    def readinto(self, buffer) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.stream.close()
        super().close()


def _enter(stream: _View, offset: int, entry: str | Path) -> None:
    """Narrows the view to the audio file at a byte of an archive."""
    stream.seek(offset)
    start = stream.read(16)
    if start[:5] == b"AUDIO" and len(start) > 6:  # then the number of bytes of the length, and the length
        count = start[5]
        begin, size = offset + 6 + count, int.from_bytes(start[6 : 6 + count], "little")
    elif start[:4] == b"RIFF" and len(start) > 8:
        begin, size = offset, 8 + struct.unpack("<I", start[4:8])[0]
    elif start[:4] in (b"fLaC", b"OggS"):
        begin, size = offset, stream.size - offset
    else:
        raise UserError(f"{entry}: the archive holds no audio at this byte: correct the entry, or write the audio to files")
    if begin + size > stream.size:
        raise UserError(f"{entry} is truncated (the archive has {stream.size - begin} of its {size} bytes): create the archive again")
    stream.narrow(begin, size)


def _opened(stream: _View, name: str | Path, path: str | None) -> tuple[soundfile.SoundFile, Finding]:
    """path: the file, if the view is all of it; libsndfile then reads it itself, unless its header is to be corrected."""
    skipped = tag_before(stream)
    stream.narrow(skipped, stream.size - skipped)
    try:
        finding = dataclasses.replace(examine(stream, stream.size), skipped=skipped)
    except Truncated as error:
        raise UserError(f"audio file {name} is truncated ({error}): download or create it again") from error
    except UserError as error:
        raise UserError(f"audio file {name} {error}") from error
    stream.narrow(finding.replaced, stream.size - finding.replaced, finding.header)
    itself = path is not None and finding.plain
    if itself:
        stream.close()
    try:
        sound = soundfile.SoundFile(os.fsencode(path) if path is not None and itself else stream)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: soundfile needs rate and channels for the extension .raw
        if what := _what_it_is(stream if path is None or not itself else path):
            raise UserError(f"audio file {name} is {what}") from error
        reason = getattr(error, "error_string", "raw samples without a header").rstrip(". ")
        raise UserError(f"audio file {name} is not wav, flac or ogg audio ({reason}): convert it, or correct its entry") from error
    try:
        _check(sound, name)
        if sound.format == "FLAC" and finding.header:
            _check_digest(sound, finding.header[26:42], name, stream.size)
    except BaseException:
        sound.close()
        raise
    return sound, finding


def _what_it_is(source: _View | str) -> str:
    """What a file is that libsndfile does not read, with the remedy; "" if that is not known."""
    if isinstance(source, str):
        with open(source, "rb") as file:
            start = file.read(64)
    else:
        source.seek(0)
        start = source.read(64)
    return next((what for place, magic, what in OTHERS if start[place : place + len(magic)].lower() == magic), "")


def _check(sound: soundfile.SoundFile, name: str | Path) -> None:
    if sound.frames == 0:
        raise UserError(f"audio file {name} has a header but no samples: download or create it again")
    if sound.frames > LONGEST:
        raise UserError(f"audio file {name} has no length in its header: convert it to wav or flac")
    extension = os.path.splitext(str(name))[1].lower().lstrip(".")
    if sound.format not in EXTENSIONS.get(extension, {sound.format}):
        warn_once(f"files named .{extension} contain {sound.format} audio and are read as {sound.format}")


_whole: set[tuple[str, int]] = set()  # FLAC streams of open length whose samples have been compared with their MD5


def _check_digest(sound: soundfile.SoundFile, digest: bytes, name: str | Path, size: int) -> None:
    """A stream of open length that was cut between two frames has only its MD5 to show it."""
    if (str(name), size) not in _whole and not flac.is_whole(sound, digest):
        raise UserError(f"audio file {name} is truncated or damaged (its samples have another MD5): download or create it again")
    _whole.add((str(name), size))


@functools.cache
def warn_once(message: str) -> None:
    """Logs a warning, once in a process."""
    log.warning(message)


def warn_of_header(name: str | Path, note: str) -> None:
    """Tells of the first file with a fault of this kind in its header; note "": there is none."""
    kind = re.sub("[0-9]+", "N", note)
    if note and kind not in _told:
        _told.add(kind)
        log.warning("audio file %s: %s (the first of its kind; others are read in the same way)", name, note)


_told: set[str] = set()
