"""Transcription of audio files and pipes: which files, under which names, what is shown, and a result in a format."""

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from asrlib.api.result import Result
from asrlib.api.stream import Stream
from asrlib.corpora.audio_file import EXTENSIONS
from asrlib.decode.formats import ctm, srt, vtt
from asrlib.utils.errors import UserError
from asrlib.utils.files import unique_names

Format = Literal["text", "json", "ctm", "srt", "vtt"]


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


def formatted(result: Result, audio: Path | str, name: str, form: Format, channel: int = 1, nbest: int = 1) -> str:
    """A result as lines, or as a file of subtitles. audio: where it is from, for JSON; nbest: with more than one, JSON has them all with scores."""
    words = result.words
    if form in ("srt", "vtt"):
        characters = len(words) > 1 and " " not in result.text and all(len(word.text) == 1 for word in words)
        return (srt if form == "srt" else vtt)(words, "" if characters else " ")
    if form == "ctm":
        return ctm(name, words, channel)
    if form == "text":
        return f"{name} {result.text}".rstrip() + "\n"
    place = os.fsencode(audio).decode("utf-8", errors="replace")
    timed = [{"word": word.text, "begin": round(word.begin, 3), "end": round(word.end, 3), "confidence": round(word.confidence, 3)} for word in words]
    row = {"name": name, "audio": place, "seconds": round(result.seconds, 3), "text": result.text, "words": timed}
    if nbest > 1:
        row["nbest"] = [{"text": hypothesis.text, "score": round(hypothesis.score, 3)} for hypothesis in result.nbest]
    return json.dumps(row, ensure_ascii=False) + "\n"


def listen(stream: Stream, blocks: Iterable[np.ndarray], out: TextIO | None) -> tuple[Result, str]:
    """Transcribes blocks of samples as they arrive, until they end or Ctrl-C is typed; the result, and how fast it was.

    out: where words are written as soon as they are known, and a line end at last.
    """
    shown, times = "", []
    with contextlib.suppress(KeyboardInterrupt):
        for block in blocks:
            before = stream.busy
            text = stream.accept(block)
            times.append(stream.busy - before)
            if out and text != shown:
                out.write(text[len(shown) :])
                out.flush()
            shown = text
    result = stream.finish()
    if out:
        out.write(result.text[len(shown) :] + "\n")
    mean, most = 1000 * sum(times) / max(1, len(times)), 1000 * max(times, default=0.0)
    factor = stream.busy / max(stream.seconds, 1e-9)
    chunks = f"{len(times)} chunks of {mean:.1f} ms of work each (at most {most:.1f})"
    return result, f"{stream.seconds:.1f} s of audio: look-ahead {stream.look_ahead:.2f} s, {chunks}, real-time factor {factor:.4f}"
