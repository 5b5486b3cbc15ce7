"""Reading and writing of audio: files of any rate and format that libsndfile decodes become float32 mono at one rate (soxr resamples).

`asrlib.corpora.audio_file` opens them and refuses files that are shorter than their headers say, because part of an utterance with the whole
transcript would harm training unnoticed; `asrlib.corpora.channels` never mixes channels that differ.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asrlib.corpora.audio_file import is_pipe, open_command, open_entry, warn_of_header
from asrlib.corpora.channels import Channel, OneChannel
from asrlib.corpora.findings import Finding
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

MAX_OVERSHOOT = 0.5  # seconds a segment may end after its recording, as in Kaldi's extract-segments
BLOCK = 60  # seconds read at once


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The header of a file: rate in Hz, channels, frames (samples per channel), what is wrong in it ("": nothing).

    plain: other programs read the same from the file, because no size in its header had to be corrected or filled in.
    """

    rate: int
    channels: int
    frames: int
    note: str = ""
    plain: bool = True

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def audio_info(path: str | Path) -> AudioInfo:
    """Reads the header of a file or place in an archive, and decodes the last frame to check the length.

    UserError: as audio_file.open_entry.
    """
    sound, finding = open_entry(path)
    with sound:
        return _info(sound, finding, path)


def check_audio(path: str | Path, channels: Collection[Channel | None] = (None,)) -> AudioInfo:
    """audio_info for a validator: also reads all samples of floating-point files, which may contain NaN or infinity, and of files with several
    channels, which must not differ. channels: those that utterances are in (None: the only one). UserError: also as one_channel."""
    sound, finding = open_entry(path)
    with sound:
        info = _info(sound, finding, path)
        every = sound.subtype in ("FLOAT", "DOUBLE") or (info.channels > 1 and None in channels)
        for channel in channels:
            if not every:
                OneChannel(info.channels, channel, path)
                continue
            for start in np.arange(0, info.seconds, BLOCK).tolist():
                _decode(sound, path, None, start, min(start + BLOCK, info.seconds), channel)
    return info


def read_audio(
    path: str | Path, rate: int | None = 16000, start: float = 0.0, end: float | None = None, channel: Channel | None = None
) -> np.ndarray:
    """Returns samples (n,) float32, mono, nominally in [-1, 1], at `rate` Hz (None: the file's rate).

    start, end: seconds in the file, as in a Kaldi `segments` file; end None is the end of the file. channel: None for recordings with only one, or
    with several that are the same.
    UserError: as audio_info and one_channel; too short for start and end; NaN or infinite samples.
    """
    sound, finding = open_entry(path)
    warn_of_header(path, finding.note)
    with sound:
        return _decode(sound, path, rate, start, end, channel)


def read_wav_entry(
    value: str,
    allow_pipes: bool = False,
    rate: int | None = 16000,
    start: float = 0.0,
    end: float | None = None,
    channel: Channel | None = None,
) -> np.ndarray:
    """read_audio for a value of wav.scp: a path, a place in an archive, or with `allow_pipes` a shell command ending in `|`.

    UserError: as read_audio; a command without `allow_pipes`; a command that fails.
    """
    if not is_pipe(value):
        return read_audio(value, rate, start, end, channel)
    if not allow_pipes:
        raise UserError(f"wav.scp has the command {value!r}, which is not run by default: give --allow_pipes true if you trust it, or a plain path")
    sound, finding = open_command(value)
    warn_of_header(value, finding.note)
    with sound:
        return _decode(sound, value, rate, start, end, channel)


def write_wav(path: str | Path, samples: np.ndarray, rate: int = 16000) -> None:
    """Writes samples (n,) in [-1, 1] as a 16-bit mono wav, atomically; values beyond the range are clipped."""
    pcm = np.clip(np.rint(np.asarray(samples, dtype=np.float64) * 32768), -32768, 32767).astype(np.int16)
    with atomic_write(path, "wb") as stream:
        soundfile.write(stream, pcm, rate, format="WAV", subtype="PCM_16")


def _decode(sound: soundfile.SoundFile, name: str | Path, rate: int | None, start: float, end: float | None, channel: Channel | None) -> np.ndarray:
    duration = sound.frames / sound.samplerate
    if start < 0 or start >= duration or (end is not None and not start < end <= duration + MAX_OVERSHOOT):
        raise UserError(f"segment {start}..{end} s exceeds audio file {name} of {duration:.2f} s: correct the segments file")
    first = round(start * sound.samplerate)
    last = sound.frames if end is None else min(round(end * sound.samplerate), sound.frames)
    mono = _mono(sound, name, first, last, channel)
    if len(mono) < last - first:
        readable = f"{first + len(mono)} of {sound.frames} samples can be read"
        raise UserError(f"audio file {name} is truncated ({readable}): download or create it again")
    if len(mono) == 0:
        raise UserError(f"segment {start}..{end} s of audio file {name} has no samples: correct the segments file")
    if rate is None or rate == sound.samplerate:
        return np.ascontiguousarray(mono)
    resampled = soxr.resample(mono, sound.samplerate, rate)
    return resampled if len(resampled) else np.ascontiguousarray(mono[:1])  # a clip of one or two samples


def _samples(sound: soundfile.SoundFile, first: int, last: int) -> np.ndarray:
    """(n, channels) float32. libsndfile reads GSM 6.10 from the beginning only."""
    if sound.seekable():
        sound.seek(first)
        return sound.read(last - first, dtype="float32", always_2d=True)
    return sound.read(last, dtype="float32", always_2d=True)[first:]


def _mono(sound: soundfile.SoundFile, name: str | Path, first: int, last: int, channel: Channel | None) -> np.ndarray:
    """The samples [first, last) of one channel, read in blocks; fewer if there are no more."""
    mono, chooser, done = np.empty(last - first, np.float32), OneChannel(sound.channels, channel, name), 0
    bad, first_bad = 0, 0
    try:
        for samples in _blocks(sound, first, last):
            faults = np.flatnonzero(~np.isfinite(samples).all(axis=1))
            if len(faults):
                bad, first_bad = bad + len(faults), first_bad if bad else first + done + int(faults[0])
            mono[done : done + len(samples)] = chooser.add(samples)
            done += len(samples)
    except soundfile.LibsndfileError as error:
        raise UserError(f"audio file {name} is damaged or truncated ({error.error_string.rstrip('. ')}): download or create it again") from error
    if bad and done == last - first:
        raise UserError(f"audio file {name} has {bad} NaN or infinite samples, the first at sample {first_bad}: create it again")
    if done == last - first:
        chooser.check()
    return mono[:done]


def _blocks(sound: soundfile.SoundFile, first: int, last: int) -> Iterator[np.ndarray]:
    """The samples (n, channels) of a minute each, up to the last one that can be read."""
    size = BLOCK * sound.samplerate
    if last - first <= size or not sound.seekable():
        yield _samples(sound, first, last)
        return
    sound.seek(first)
    for begin in range(first, last, size):
        samples = sound.read(min(size, last - begin), dtype="float32", always_2d=True)
        yield samples
        if len(samples) < min(size, last - begin):
            return


def _info(sound: soundfile.SoundFile, finding: Finding, path: str | Path) -> AudioInfo:
    _check_last_frame(sound, path)
    return AudioInfo(sound.samplerate, sound.channels, sound.frames, finding.note, finding.plain)


def _check_last_frame(sound: soundfile.SoundFile, name: str | Path) -> None:
    try:
        complete = len(_samples(sound, sound.frames - 1, sound.frames)) == 1
    except soundfile.LibsndfileError:
        complete = False
    if not complete:
        raise UserError(f"audio file {name} is truncated (its last sample of {sound.frames} cannot be read): download or create it again")
