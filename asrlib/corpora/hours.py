"""The hours of a corpus before it is prepared: of its tables, of a sample of its files, or as published."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from asrlib.corpora.audio import audio_info
from asrlib.corpora.audio_file import EXTENSIONS, is_pipe
from asrlib.corpora.durations import known_seconds
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import read_table
from asrlib.corpora.registry import CORPORA, load
from asrlib.utils.errors import UserError

SAMPLE = 200  # files whose headers are read


class Hours(NamedTuple):
    """Hours of speech, and where the number comes from."""

    hours: float
    origin: str


def corpus_hours(sources: Sequence[Path], corpus: str = "") -> list[Hours]:
    """The hours of each source that has audio: a Kaldi directory or its wav.scp, a folder of audio files, or what is yet to be downloaded.

    corpus: its name in the registry, whose module may know the published hours of a source that is not there (`hours(source)`).
    """
    found = [_hours(source, corpus) for source in sources]
    return [hours for hours in found if hours is not None]


def _hours(source: Path, corpus: str) -> Hours | None:
    if (source / "utt2spk").is_file() and (source / "utt2dur").is_file():
        seconds, _ = known_seconds(KaldiDir.on_disk(source))
        return Hours(float(seconds.sum()) / 3600, f"{source}/utt2dur")
    listed = source if source.name == "wav.scp" else source / "wav.scp"
    if listed.is_file():
        rows = read_table(listed).rows.values()
        return _sampled([os.path.join(listed.parent, value) if not os.path.exists(value) else value for value in rows if not is_pipe(value)], listed)
    if source.is_dir():
        return _sampled(list(_files(source)), source)
    module = load(corpus, "prepare") if corpus in CORPORA else None
    published = module.hours(source) if module is not None and hasattr(module, "hours") else 0.0
    return Hours(published, f"{source.name}, as published") if published else None


def _files(folder: Path) -> Iterator[str]:
    """The audio files below a folder."""
    for top, _, names in os.walk(folder, followlinks=True):
        yield from (os.path.join(top, name) for name in names if name.rpartition(".")[2].lower() in EXTENSIONS)


def _sampled(files: list[str], source: Path) -> Hours | None:
    """Their number times the mean duration of some of them. Those that cannot be read count nothing: stage 1 tells."""
    lengths = []
    for file in files[:: max(1, len(files) // SAMPLE)]:
        try:
            lengths.append(audio_info(file).seconds)
        except UserError:
            continue
    return Hours(sum(lengths) / len(lengths) * len(files) / 3600, f"{source}, {len(lengths)} of {len(files)} files") if lengths else None
