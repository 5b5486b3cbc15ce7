"""NeMo's manifests: JSON objects with audio_filepath, duration, text, and offset for a part of a file.

Relative paths start from the manifest's folder or, if they do not exist there, from the current one (NeMo tries them in the reverse order; a file
that both have is that of the manifest's). As in NeMo, an entry has `duration` seconds from `offset` on; an entry that ends with its file is the file.
The id is the name of the file, for a part with begin and end in milliseconds; the speaker is `speaker`, with which the id then begins, or the part of
the id before the first `-`.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from asrlib.corpora.audio import MAX_OVERSHOOT, audio_info
from asrlib.corpora.samples import Faults, Sample, json_values, one_line, speaker_of
from asrlib.utils.errors import UserError
from asrlib.utils.files import plain_name, unique_names

AUDIO = ("audio_filepath", "audio_filename")
ROUNDING = 0.05  # seconds: durations are written with one decimal or more


def read_nemo(path: Path, roots: Sequence[Path], faults: Faults) -> Iterator[Sample]:
    """The samples of a manifest. roots: folders in which relative paths are looked for. Faults: entries without audio or text, parts outside it."""
    entries = list(_entries(path, faults))
    found = [_locate(str(_value(item, AUDIO)), roots) for _, item in entries]
    files = sorted(set(found))
    names = dict(zip(files, unique_names([Path(file) for file in files]), strict=True))
    seconds = cache(lambda file: audio_info(file).seconds)
    located = zip(entries, found, strict=True)
    return faults.kept(partial(_sample, where, item, file, names[file], seconds) for (where, item), file in located)


def _entries(path: Path, faults: Faults) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, value in json_values(path, faults):
        for number, item in enumerate(value if isinstance(value, list) else [value]):
            place = f"{where}, entry {number + 1}" if isinstance(value, list) else where
            if isinstance(item, dict) and _value(item, AUDIO):
                yield place, item
            else:
                faults.add(UserError(f"{place}: no audio_filepath: correct the entry"))


def _value(item: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _locate(file: str, roots: Sequence[Path]) -> str:
    candidates = [os.path.normpath(os.path.join(os.path.abspath(root), file)) for root in roots]
    return next((candidate for candidate in candidates if os.path.exists(candidate)), candidates[0])


def _sample(where: str, item: dict[str, Any], file: str, name: str, seconds) -> Sample:
    try:
        whole = seconds(file)
        start, end = _part(item, whole)
        text = one_line(_text(item, Path(file)))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if not text:
        raise UserError(f"{where}: no text: add it, or remove the entry")
    utt = name if start == 0 and end is None else f"{name}-{round(start * 1000):07d}-{round((end or whole) * 1000):07d}"
    speaker = plain_name(str(item["speaker"])) if item.get("speaker") not in (None, "") else speaker_of(utt)
    utt = utt if utt.startswith(speaker) else f"{speaker}-{utt}"
    return Sample(utt, speaker, file, text, None, start, end, None, name)


def _part(item: dict[str, Any], whole: float) -> tuple[float, float | None]:
    """Start and end in seconds, end None for that of the file. UserError: outside the file, no numbers."""
    offset, duration = item.get("offset") or 0.0, item.get("duration")
    try:
        start, length = float(offset), whole if duration is None else float(duration)
    except (TypeError, ValueError):
        raise UserError(f"offset {offset!r} or duration {duration!r} is no number: correct the entry") from None
    if duration is None:
        length -= start
    if not (0 <= start < whole and length > 0 and start + length <= whole + MAX_OVERSHOOT):
        raise UserError(f"offset {start:g} and duration {length:g} are not inside the file of {whole:.2f} s: correct the entry")
    return start, None if duration is None or start + length >= whole - ROUNDING else round(start + length, 6)


def _text(item: dict[str, Any], audio: Path) -> str:
    if isinstance(item.get("text"), str) or not item.get("text_filepath"):
        return item["text"] if isinstance(item.get("text"), str) else ""
    path = audio.parent / str(item["text_filepath"])
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"the transcript {path} cannot be read ({error}): correct its path") from error
