"""Reading and writing of audio: wav, flac and ogg files of any rate and channel count become float32 mono at one rate.

libsndfile (soundfile) decodes, soxr resamples. libsndfile silently accepts a file that is shorter than its header says; this module
rejects it, because part of an utterance with the whole transcript would harm training unnoticed.
"""

import functools
import io
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)

MAX_OVERSHOOT = 0.5  # seconds a segment may end after its recording, as in Kaldi's extract-segments
STREAMED_SIZES = {0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF}  # sizes that wav writers put into a header on a pipe, where they do not know the length
EXTENSIONS = {"wav": {"WAV", "WAVEX", "RF64"}, "flac": {"FLAC"}, "ogg": {"OGG"}, "opus": {"OGG"}, "mp3": {"MP3"}}


@dataclass(frozen=True)
class AudioInfo:
    """The header of a file: rate in Hz, channels, frames (samples per channel)."""

    rate: int
    channels: int
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def audio_info(path: str | Path) -> AudioInfo:
    """Reads the header of `path` and decodes the last frame to check the length.

    UserError: the file is missing, empty, truncated or not audio.
    """
    with _open(path) as sound:
        _check_last_frame(sound, path)
        return AudioInfo(sound.samplerate, sound.channels, sound.frames)


def check_audio(path: str | Path) -> AudioInfo:
    """audio_info for a validator: also reads all samples of floating-point files, which may contain NaN or infinity."""
    info = audio_info(path)
    if soundfile.info(str(path)).subtype in ("FLOAT", "DOUBLE"):
        read_audio(path, rate=None)
    return info


def read_audio(path: str | Path, rate: int | None = 16000, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """Returns samples (n,) float32, mono (channels averaged), nominally in [-1, 1], at `rate` Hz (None: the file's rate).

    start, end: seconds in the file, as in a Kaldi `segments` file; end None is the end of the file.
    UserError: the file is missing, empty, truncated, not audio, too short for start and end, or has NaN or infinite samples.
    """
    with _open(path) as sound:
        return _decode(sound, path, rate, start, end)


def read_wav_entry(value: str, allow_pipes: bool = False, rate: int | None = 16000, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """read_audio for a value of wav.scp: a path, or with `allow_pipes` a shell command ending in `|` that writes audio to its output.

    UserError: as read_audio; a pipe without `allow_pipes`; a command that fails.
    """
    if not is_pipe(value):
        return read_audio(value, rate, start, end)
    if not allow_pipes:
        raise UserError(f"wav.scp has the command {value!r}, which is not run by default: give --allow_pipes true if you trust it, or a plain path")
    command = value.strip()[:-1]
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0 or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise UserError(f"the command {command.strip()!r} of wav.scp failed with code {done.returncode}: {reason[0]}")
    with _open_stream(io.BytesIO(done.stdout), value) as sound:
        return _decode(sound, value, rate, start, end)


def is_pipe(value: str) -> bool:
    """Whether a value of wav.scp is a command ("cmd |") rather than a path."""
    return value.rstrip().endswith("|")


def write_wav(path: str | Path, samples: np.ndarray, rate: int = 16000) -> None:
    """Writes samples (n,) in [-1, 1] as a 16-bit mono wav, atomically; values beyond the range are clipped."""
    pcm = np.clip(np.rint(np.asarray(samples, dtype=np.float64) * 32768), -32768, 32767).astype(np.int16)
    with atomic_write(path, "wb") as stream:
        soundfile.write(stream, pcm, rate, format="WAV", subtype="PCM_16")


def _open(path: str | Path) -> soundfile.SoundFile:
    path = Path(path)
    if not path.exists():
        raise UserError(f"audio file {path} does not exist: check its path")
    if not path.is_file():
        raise UserError(f"{path} is a {'folder' if path.is_dir() else 'special file'}, not an audio file")
    try:
        size = path.stat().st_size
        if size == 0:
            raise UserError(f"audio file {path} is empty (0 bytes): download or create it again")
        with open(path, "rb") as stream:
            missing = _missing_bytes(stream, size)
    except PermissionError as error:
        raise UserError(f"audio file {path} cannot be read (permission denied): correct its permissions") from error
    if missing:
        raise UserError(f"audio file {path} is truncated ({missing}): download or create it again")
    sound = _open_stream(str(path), path)
    extension = path.suffix.lower().lstrip(".")
    if sound.format not in EXTENSIONS.get(extension, {sound.format}):
        _warn_once(extension, sound.format)
    return sound


@functools.cache
def _warn_once(extension: str, content: str) -> None:
    log.warning(f"files named .{extension} contain {content} audio and are read as {content}")


def _open_stream(file, name: str | Path) -> soundfile.SoundFile:
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: soundfile needs rate and channels for the extension .raw
        reason = getattr(error, "error_string", "raw samples without a header").rstrip(". ")
        raise UserError(f"audio file {name} is not wav, flac or ogg audio ({reason}): convert it, or correct its entry") from error
    if sound.frames == 0:
        sound.close()
        raise UserError(f"audio file {name} has a header but no samples: download or create it again")
    return sound


def _decode(sound: soundfile.SoundFile, name: str | Path, rate: int | None, start: float, end: float | None) -> np.ndarray:
    duration = sound.frames / sound.samplerate
    if start < 0 or start >= duration or (end is not None and not start < end <= duration + MAX_OVERSHOOT):
        raise UserError(f"segment {start}..{end} s exceeds audio file {name} of {duration:.2f} s: correct the segments file")
    first = round(start * sound.samplerate)
    last = sound.frames if end is None else min(round(end * sound.samplerate), sound.frames)
    try:
        sound.seek(first)
        samples = sound.read(last - first, dtype="float32", always_2d=True)  # (n, channels)
    except soundfile.LibsndfileError as error:
        raise UserError(f"audio file {name} is damaged or truncated ({error.error_string.rstrip('. ')}): download or create it again") from error
    if len(samples) < last - first:
        readable = f"{first + len(samples)} of {sound.frames} samples can be read"
        raise UserError(f"audio file {name} is truncated ({readable}): download or create it again")
    if len(samples) == 0:
        raise UserError(f"segment {start}..{end} s of audio file {name} has no samples: correct the segments file")
    bad = np.flatnonzero(~np.isfinite(samples).all(axis=1))
    if len(bad):
        raise UserError(f"audio file {name} has {len(bad)} NaN or infinite samples, the first at sample {first + bad[0]}: create it again")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float64).astype(np.float32)
    if rate is None or rate == sound.samplerate:
        return np.ascontiguousarray(mono)
    return soxr.resample(mono, sound.samplerate, rate)


def _check_last_frame(sound: soundfile.SoundFile, name: str | Path) -> None:
    try:
        sound.seek(sound.frames - 1)
        complete = len(sound.read(1)) == 1
    except soundfile.LibsndfileError:
        complete = False
    if not complete:
        raise UserError(f"audio file {name} is truncated (its last sample of {sound.frames} cannot be read): download or create it again")


def _missing_bytes(stream, size: int) -> str:
    """A description of what is missing at the end of a wav or ogg file of `size` bytes, or "": libsndfile does not report it."""
    magic = stream.read(4)
    if magic == b"RIFF":
        return _missing_of_wav(stream, size)
    if magic == b"OggS":
        return _missing_of_ogg(stream, size)
    return ""


def _missing_of_wav(stream, size: int) -> str:
    position = 12
    while position + 8 <= size:
        stream.seek(position)
        name, length = struct.unpack("<4sI", stream.read(8))
        if name == b"data":
            missing = position + 8 + length - size
            return f"{missing} bytes fewer than its header says" if missing > 0 and length not in STREAMED_SIZES else ""
        position += 8 + length + length % 2
    return ""  # no data chunk: libsndfile reports it


def _missing_of_ogg(stream, size: int) -> str:
    tail = min(size, 2 * 65307)  # 65307 bytes: the longest page (RFC 3533)
    stream.seek(size - tail)
    data = stream.read(tail)
    page = data.rfind(b"OggS")
    header = data[page : page + 27]
    lacing = data[page + 27 : page + 27 + header[26]] if len(header) == 27 else b""
    complete = len(header) == 27 and len(lacing) == header[26] and page + 27 + len(lacing) + sum(lacing) <= len(data)
    end_of_stream = complete and header[5] & 0x04  # the flag of the last page
    return "" if end_of_stream else "its last ogg page is missing or truncated"
