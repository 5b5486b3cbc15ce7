"""A Kaldi data directory, in memory or on disk: reading, writing, and iteration over its utterances.

Files and rules: https://kaldi-asr.org/doc/data_prep.html. The tables have the contents of the files (key -> rest of the line), so that
reading and writing changes nothing; `utterances` joins them. `spk2utt` is always derived from `utt2spk`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrlib.corpora.audio import audio_info, read_wav_entry
from asrlib.corpora.audio_file import is_pipe, place
from asrlib.corpora.channels import Channel, named_channels
from asrlib.corpora.kaldi_table import FILES, Table, read_table, table_on_disk, write_table
from asrlib.utils.disk_sort import DiskSort
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write, other_form
from asrlib.utils.keyed_lines import joined


@dataclass(frozen=True)
class Utterance:
    """One utterance: `wavs` are the paths, places in archives or commands ("cmd |") of its recordings in order. start, end: seconds in a single
    recording (end None: its end). text: None without a transcript. channels: of each recording, () if none is named."""

    id: str
    speaker: str
    wavs: tuple[str, ...]
    start: float = 0.0
    end: float | None = None
    text: str | None = None
    channels: tuple[Channel | None, ...] = ()

    @property
    def wav(self) -> str:
        """The recording. UserError: the utterance has several."""
        if len(self.wavs) > 1:
            remedy = "use the directory from before concatenation"
            raise UserError(f"utterance {self.id} has {len(self.wavs)} recordings (utt2parts), but one is needed: {remedy}")
        return self.wavs[0]

    def audio(self, rate: int | None = 16000, allow_pipes: bool = False) -> np.ndarray:
        """Samples (n,) float32; parts are read at `rate` and joined. UserError: invalid audio, or rate None with parts of different rates."""
        try:
            if len(self.wavs) == 1:
                return read_wav_entry(self.wav, allow_pipes, rate, self.start, self.end, *self.channels)
            if rate is None and len({audio_info(wav).rate for wav in self.wavs}) > 1:
                raise UserError("its parts have different sample rates: give the sample rate to resample to")
            channels = self.channels or (None,) * len(self.wavs)
            parts = zip(self.wavs, channels, strict=True)
            return np.concatenate([read_wav_entry(wav, allow_pipes, rate, channel=channel) for wav, channel in parts])
        except UserError as error:
            raise UserError(f"utterance {self.id}: {error}") from error

    def is_file(self) -> bool:
        """Whether the utterance is the whole of one file, rather than a part, a place in an archive, a command or several recordings."""
        whole = len(self.wavs) == 1 and self.start == 0 and self.end is None
        return whole and not is_pipe(self.wav) and place(self.wav)[1] is None

    def seconds(self) -> float:
        """The duration, from `end` or the headers of the files. UserError: a command, which is not run, or an invalid file."""
        if self.end is not None:
            return self.end - self.start
        try:
            if any(map(is_pipe, self.wavs)):
                raise UserError("wav.scp has a command, whose duration is unknown: write its audio to a file first")
            return sum(audio_info(wav).seconds for wav in self.wavs) - self.start
        except UserError as error:
            raise UserError(f"utterance {self.id}: {error}") from error


Rows = Mapping[str, str]


@dataclass
class KaldiDir:
    """tables: file name ("wav.scp", "text", "utt2spk", "segments", "utt2parts", ...) -> {key: value}, in memory or on disk."""

    tables: dict[str, Rows]

    @property
    def wav(self) -> Rows:
        return self.tables.get("wav.scp", {})

    @property
    def utt2spk(self) -> Rows:
        return self.tables["utt2spk"]

    @property
    def text(self) -> Rows | None:
        return self.tables.get("text")

    @property
    def segments(self) -> Rows | None:
        return self.tables.get("segments")

    @property
    def parts(self) -> Rows | None:
        return self.tables.get("utt2parts")

    def speakers(self) -> Iterator[tuple[str, Iterator[str]]]:
        """The speakers, sorted, each with its utterances, sorted, which are read before the next speaker."""
        pairs = DiskSort[tuple[str, str]]()
        pairs.add((speaker, utt) for utt, speaker in self.utt2spk.items())
        return ((speaker, (utt for _, utt in group)) for speaker, group in groupby(pairs, key=itemgetter(0)))

    @property
    def spk2utt(self) -> dict[str, str]:
        return {speaker: " ".join(utts) for speaker, utts in self.speakers()}

    def __len__(self) -> int:
        return len(self.utt2spk)

    def recordings(self, utt: str) -> list[str]:
        """The keys of wav.scp of an utterance's recordings."""
        line = next((table.get(utt) for table in (self.segments, self.parts) if table is not None), None)
        return self._recordings(utt, line)

    def all_recordings(self) -> Iterator[tuple[str, list[str]]]:
        """The utterances, sorted, each with its `recordings`."""
        source = next((table for table in (self.segments, self.parts) if table is not None), {})
        return ((utt, self._recordings(utt, line)) for utt, _, (line,) in joined(self.utt2spk, source))

    def _recordings(self, utt: str, line: str | None) -> list[str]:
        """line: that of the utterance in segments or utt2parts."""
        if self.segments is not None:
            return [parse_segment(utt, line or "").recording]
        return [utt] if self.parts is None else (line or "").split()

    def channels(self) -> dict[str, Channel]:
        """Recording -> its channel by reco2file_and_channel, whose lines are `recording file A` (or B, 1, 2). If a file has several recordings,
        a channel is needed even where it has one channel only: it would be the mixture of them."""
        named = self.tables.get("reco2file_and_channel")
        if not named:
            return {}
        uses = Counter(self.wav.values())
        names = {recording: value.split()[-1] for recording, value in named.items() if value}
        return {recording: Channel(number, uses[self.wav.get(recording, "")] < 2) for recording, number in named_channels(names).items()}

    def utterances(self) -> Iterator[Utterance]:
        """The utterances in sorted order. UserError: an utterance is missing in wav.scp, or in `text` if that exists."""
        if self.segments is not None and self.parts is not None:
            raise UserError("segments and utt2parts are mutually exclusive in a data directory: remove one of them")
        of_recording, wav = self.channels(), self.wav if self.segments is None and self.parts is None else {}
        empty: dict[str, str] = {}
        for utt, speaker, (text, segment, parts, entry) in joined(self.utt2spk, self.text or empty, self.segments or empty, self.parts or empty, wav):
            yield self._utterance(utt, speaker, text, segment, parts, {} if entry is None else {utt: entry}, of_recording)

    def utterance(self, utt: str, of_recording: dict[str, Channel]) -> Utterance:
        """One of the utterances; of_recording: `channels()`. UserError: as `utterances`."""
        text, segment, parts = (None if table is None else table.get(utt) for table in (self.text, self.segments, self.parts))
        return self._utterance(utt, self.utt2spk[utt], text, segment, parts, {}, of_recording)

    def _utterance(self, utt: str, speaker: str, text, segmented, parts, known: dict[str, str], of_recording: dict[str, Channel]) -> Utterance:
        """text, segmented, parts: its values in the tables, None where they lack it; known: values of wav.scp that need not be looked up."""
        segment = Segment(utt) if self.segments is None else parse_segment(utt, segmented or "")
        recordings = [segment.recording] if self.parts is None else (parts or "").split()
        wavs = tuple(known.get(recording) or self.wav.get(recording, "") for recording in recordings)
        if not recordings or not all(wavs):
            missing = next((recording for recording, wav in zip(recordings, wavs, strict=True) if not wav), utt)
            raise UserError(f"utterance {utt}: recording {missing} is not in wav.scp: run validate_data --fix true on the directory")
        if self.text is not None and text is None:
            raise UserError(f"utterance {utt}: no transcript in text: run validate_data --fix true on the directory")
        channels = tuple(segment.channel or of_recording.get(recording) for recording in recordings)
        return Utterance(utt, speaker, wavs, segment.start, segment.end, text, channels if any(channels) else ())

    @classmethod
    def read(cls, folder: str | Path) -> "KaldiDir":
        """Reads a directory. UserError: the first malformed line (file, line, fix); `validate` checks the consistency of the files."""
        tables = read_tables(folder)
        if "utt2spk" not in tables:
            raise UserError(f"{Path(folder) / 'utt2spk'} is missing: add it, or give another Kaldi data directory")
        problems = [problem for table in tables.values() for problem in table.problems]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise UserError(f"{problems[0]}{more}; for all run python -m asrlib.bin.validate_data {folder}")
        return cls({name: table.rows for name, table in tables.items() if name != "spk2utt"})

    @classmethod
    def on_disk(cls, folder: str | Path) -> "KaldiDir":
        """The same as `read`, with tables that stay on disk and cannot be changed: 12 bytes a line in memory."""
        names = [name for name in FILES if name != "spk2utt" and (Path(folder) / name).exists()]
        tables = {name: table for name in names if (table := table_on_disk(Path(folder) / name)) is not None}
        if "utt2spk" not in tables or len(tables) < len(names):
            return cls.read(folder)  # it tells what is wrong
        return cls(dict(tables))

    def write(self, folder: str | Path) -> None:
        """Writes every table and spk2utt, sorted, each file atomically; removes other tables of an earlier directory in the folder."""
        folder = Path(folder)
        for name in FILES:
            if name in self.tables:
                write_table(folder / name, self.tables[name])
            elif name != "spk2utt":
                (folder / name).unlink(missing_ok=True)
        with atomic_write(folder / "spk2utt") as stream:
            for speaker, utts in self.speakers():
                stream.write(speaker)
                stream.writelines(f" {utt}" for utt in utts)
                stream.write("\n")


def read_tables(folder: str | Path) -> dict[str, Table]:
    """The existing tables of a directory, valid or not. UserError: no such folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: {other_form(folder) or 'give a Kaldi data directory (wav.scp, text, utt2spk)'}")
    return {name: read_table(folder / name) for name in FILES if (folder / name).exists()}


class Segment(NamedTuple):
    """A line of `segments`: times in seconds (end None: that of the recording)."""

    recording: str
    start: float = 0.0
    end: float | None = None
    channel: Channel | None = None


def parse_segment(utt: str, value: str) -> Segment:
    """The rest of a line of `segments`; an end of -1 means the recording's end. The channel, from 0, may follow (Kaldi's extract-segments)."""
    fields = value.split()
    try:
        recording, start, end = fields[0], float(fields[1]), float(fields[2])
        if len(fields) > 4 or not (0 <= start < float("inf") and (start < end < float("inf") or end == -1)):
            raise ValueError
        channel = Channel(int(fields[3]), alone=False) if len(fields) == 4 else None
        if channel and channel.number < 0:
            raise ValueError
    except (ValueError, IndexError):
        expected = "RECORDING START END [CHANNEL] (seconds, 0 <= START < END; channels from 0)"
        raise UserError(f"segments: {utt} has {value!r} instead of {expected}: correct the line") from None
    return Segment(recording, start, None if end == -1 else end, channel)
