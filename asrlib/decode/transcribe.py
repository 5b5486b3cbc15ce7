"""Transcription of audio files: which files, under which names, and the text of each in a format."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from asrlib.corpora.audio import read_audio
from asrlib.corpora.audio_file import EXTENSIONS
from asrlib.corpora.channels import Channel
from asrlib.decode.beam import BeamConfig
from asrlib.decode.longform import Word, ctm, srt, stitched, timed_words, windows
from asrlib.decode.run import decode_all
from asrlib.utils.errors import UserError
from asrlib.utils.files import unique_names


class Transcriber(Protocol):
    """A model from audio (samples,) at `rate` Hz to log-probabilities (T, V) of `tokens`; clips that are too short for it have T = 0."""

    rate: int
    tokens: Sequence[str]
    blank: int
    separator: str

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]: ...


@dataclass(frozen=True)
class Settings:
    """How a recording is transcribed. window, overlap: seconds; channel: from 0, None for recordings with one channel."""

    mode: Literal["greedy", "beam"] = "greedy"
    format: Literal["text", "json", "ctm", "srt"] = "text"
    window: float = 30.0
    overlap: float = 4.0
    channel: int | None = None
    beam: BeamConfig = field(default_factory=BeamConfig)


def find_audio(paths: Sequence[Path]) -> tuple[dict[Path, str], list[UserError]]:
    """The audio files of paths, in order, each with a name of its own, and what is wrong with the paths. Hidden files in folders are left out."""
    files, faults = dict[Path, None](), list[UserError]()
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower()[1:] in EXTENSIONS and not p.name.startswith(".") and p.is_file())
        if not inside:
            faults.append(UserError(f"{path}: no audio file ({', '.join(EXTENSIONS)}) in this folder"))
        files |= dict.fromkeys(inside)
    return dict(zip(files, unique_names(list(files)), strict=True)), faults


def transcribe(model: Transcriber, path: Path, name: str, settings: Settings) -> tuple[str, float]:
    """The recording in settings.format (lines, or a file of subtitles), and its seconds. UserError: as read_audio."""
    audio = read_audio(path, model.rate, channel=None if settings.channel is None else Channel(settings.channel, alone=False))
    seconds = len(audio) / model.rate
    spans = windows(len(audio), round(settings.window * model.rate), round(settings.overlap * model.rate))
    log_probs = stitched(model.log_probs([audio[begin:end] for begin, end in spans]), spans)
    text = decode_all([log_probs], model.tokens, model.blank, settings.mode, settings.beam, 1, model.separator)[0]
    words = timed_words(log_probs, model.tokens, model.blank, model.separator, seconds) if settings.mode == "greedy" else []
    return _formatted(path, name, seconds, text, words, settings), seconds


def _formatted(path: Path, name: str, seconds: float, text: str, words: Sequence[Word], settings: Settings) -> str:
    if settings.format == "srt":
        return srt(words, "" if " " not in text and len(words) > 1 and all(len(word.text) == 1 for word in words) else " ")
    if settings.format == "ctm":
        return ctm(name, words, 1 if settings.channel is None else settings.channel + 1)
    if settings.format == "text":
        return f"{name} {text}".rstrip() + "\n"
    place = os.fsencode(path).decode("utf-8", errors="replace")
    timed = [{"word": word.text, "begin": round(word.begin, 3), "end": round(word.end, 3)} for word in words]
    return json.dumps({"name": name, "audio": place, "seconds": round(seconds, 3), "text": text, "words": timed}, ensure_ascii=False) + "\n"
