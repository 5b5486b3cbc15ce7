"""Utterances of manifests, and what the readers of manifests share."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrlib.corpora.audio_file import place
from asrlib.corpora.channels import Channel
from asrlib.utils.errors import UserError

SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Sample:
    """One utterance; `wav` (a file, or a place in an archive) and `txt` (the transcript's file, if any) are absolute paths.

    start, end: seconds in the recording, end None for its end. recording: id of the recording, "" for that of the utterance.
    """

    utt: str
    speaker: str
    wav: str
    text: str
    txt: str | None = None
    start: float = 0.0
    end: float | None = None
    channel: Channel | None = None
    recording: str = ""

    def is_file(self) -> bool:
        """Whether the utterance is the whole of a file, which every format can express."""
        return self.start == 0 and self.end is None and self.channel is None and place(self.wav)[1] is None


class Faults:
    """Entries that are passed over; in strict mode the first one is raised."""

    def __init__(self, strict: bool = True):
        self.strict, self.errors = strict, list[UserError]()

    def add(self, error: UserError) -> None:
        if self.strict:
            raise error
        self.errors.append(error)

    def kept(self, makers: Iterable[Callable[[], Sample]]) -> Iterator[Sample]:
        """The samples of the entries that are valid."""
        for make in makers:
            try:
                sample = make()
            except UserError as error:
                self.add(error)
            else:
                yield sample


def one_line(text: str) -> str:
    return " ".join(line.strip(" \t\r") for line in text.strip().split("\n"))


def speaker_of(utt: str) -> str:
    """The part of an id before its first `-`."""
    return utt.partition("-")[0] or utt


def json_values(path: Path, faults: Faults) -> Iterator[tuple[str, Any]]:
    """(place in the file, value) of its JSON values: one per line, over several lines, or one after another.

    faults: what is no JSON, up to the next line that begins with a brace.
    """
    content, decoder = path.read_text(encoding="utf-8-sig"), json.JSONDecoder()
    line, begin, end = 1, 0, 0
    while (begin := SPACE.match(content, end).end()) < len(content):  # type: ignore[union-attr]  # it matches everywhere
        line += content.count("\n", end, begin)
        try:
            value, end = decoder.raw_decode(content, begin)
            yield f"{path}, line {line}", value
        except json.JSONDecodeError as error:
            faults.add(UserError(f"{path}, line {line}: invalid JSON ({error}): correct it"))
            following = content.find("\n{", begin)
            end = following if following >= 0 else len(content)
        line += content.count("\n", begin, end)
