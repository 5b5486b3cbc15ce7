"""A Kaldi data directory in memory: reading, writing, and iteration over its utterances.

Files and rules: https://kaldi-asr.org/doc/data_prep.html. The tables have the contents of the files (key -> rest of the line), so that
reading and writing changes nothing; `utterances` joins them. `spk2utt` is always derived from `utt2spk`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrlib.corpora.audio import audio_info, is_pipe, read_wav_entry
from asrlib.corpora.kaldi_table import FILES, Table, read_table, write_table
from asrlib.utils.errors import UserError


@dataclass(frozen=True)
class Utterance:
    """One utterance: `wavs` are the paths or commands ("cmd |") of its recordings in order. start, end: seconds in a single recording (end
    None: its end). text: None without a transcript."""

    id: str
    speaker: str
    wavs: tuple[str, ...]
    start: float = 0.0
    end: float | None = None
    text: str | None = None

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
                return read_wav_entry(self.wav, allow_pipes, rate, self.start, self.end)
            if rate is None and len({audio_info(wav).rate for wav in self.wavs}) > 1:
                raise UserError("its parts have different sample rates: give the sample rate to resample to")
            return np.concatenate([read_wav_entry(wav, allow_pipes, rate) for wav in self.wavs])
        except UserError as error:
            raise UserError(f"utterance {self.id}: {error}") from error

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


@dataclass
class KaldiDir:
    """tables: file name ("wav.scp", "text", "utt2spk", "segments", "utt2parts", ...) -> {key: value}."""

    tables: dict[str, dict[str, str]]

    @property
    def wav(self) -> dict[str, str]:
        return self.tables.get("wav.scp", {})

    @property
    def utt2spk(self) -> dict[str, str]:
        return self.tables["utt2spk"]

    @property
    def text(self) -> dict[str, str] | None:
        return self.tables.get("text")

    @property
    def segments(self) -> dict[str, str] | None:
        return self.tables.get("segments")

    @property
    def parts(self) -> dict[str, str] | None:
        return self.tables.get("utt2parts")

    @property
    def spk2utt(self) -> dict[str, str]:
        groups: dict[str, list[str]] = {}
        for utt in sorted(self.utt2spk):
            groups.setdefault(self.utt2spk[utt], []).append(utt)
        return {speaker: " ".join(utts) for speaker, utts in groups.items()}

    def __len__(self) -> int:
        return len(self.utt2spk)

    def recordings(self, utt: str) -> list[str]:
        """The keys of wav.scp of an utterance's recordings."""
        if self.segments is not None:
            return [parse_segment(utt, self.segments.get(utt, ""))[0]]
        return [utt] if self.parts is None else self.parts.get(utt, "").split()

    def utterances(self) -> Iterator[Utterance]:
        """The utterances in sorted order. UserError: an utterance is missing in wav.scp, or in `text` if that exists."""
        if self.segments is not None and self.parts is not None:
            raise UserError("segments and utt2parts are mutually exclusive in a data directory: remove one of them")
        for utt in sorted(self.utt2spk):
            recordings = self.recordings(utt)
            if not recordings or not all(recording in self.wav for recording in recordings):
                missing = next((recording for recording in recordings if recording not in self.wav), utt)
                raise UserError(f"utterance {utt}: recording {missing} is not in wav.scp: run validate_data --fix true on the directory")
            if self.text is not None and utt not in self.text:
                raise UserError(f"utterance {utt}: no transcript in text: run validate_data --fix true on the directory")
            wavs = tuple(self.wav[recording] for recording in recordings)
            start, end = (0.0, None) if self.segments is None else parse_segment(utt, self.segments[utt])[1:]
            yield Utterance(utt, self.utt2spk[utt], wavs, start, end, None if self.text is None else self.text[utt])

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

    def write(self, folder: str | Path) -> None:
        """Writes every table and spk2utt, sorted, each file atomically; removes other tables of an earlier directory in the folder."""
        folder = Path(folder)
        tables = {**self.tables, "spk2utt": self.spk2utt}
        for name in FILES:
            if name in tables:
                write_table(folder / name, tables[name])
            else:
                (folder / name).unlink(missing_ok=True)


def read_tables(folder: str | Path) -> dict[str, Table]:
    """The existing tables of a directory, valid or not. UserError: no such folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give a Kaldi data directory (wav.scp, text, utt2spk)")
    return {name: read_table(folder / name) for name in FILES if (folder / name).exists()}


def parse_segment(utt: str, value: str) -> tuple[str, float, float | None]:
    """Recording, start and end in seconds from the rest of a line of `segments`; an end of -1 means the recording's end (None)."""
    fields = value.split()
    try:
        recording, start, end = fields[0], float(fields[1]), float(fields[2])
        if len(fields) != 3 or not (0 <= start < float("inf") and (start < end < float("inf") or end == -1)):
            raise ValueError
    except (ValueError, IndexError):
        raise UserError(f"segments: {utt} has {value!r} instead of RECORDING START END (seconds, 0 <= START < END): correct the line") from None
    return recording, start, None if end == -1 else end
