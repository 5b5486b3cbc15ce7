"""Kaldi text files, sclite's trn files, and the units to score."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from asrlib.text.tags import characters
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

UNITS = ("word", "char")
TRN = re.compile(r"(.*?)\s*\(([^\s()]*[-_0-9][^\s()]*)\)")


def read_text(path: str | Path) -> dict[str, str]:
    """Reads `UTTERANCE-ID words...` lines into {utterance id: words}, in the file's order.

    A line with only an id is an utterance without words. UserError: the file is missing, not UTF-8, has an empty line or a duplicate id;
    the message gives the line number.
    """
    path = Path(path)
    return _by_id(path, [(line.split(maxsplit=1) + [""])[:2] for line in _lines(path)])


def read_texts(*paths: str | Path) -> list[dict[str, str]]:
    """`read_text` of a reference and its hypotheses, which may also be in sclite's trn format: `words... (UTTERANCE-ID)`.

    A file is trn if every line ends with an id in brackets, none of them twice, unless its lines begin with ids of a file that is not trn.
    """
    lines = {path: _lines(Path(path)) for path in paths}
    trn = {path: [(found[2], found[1]) for found in map(TRN.fullmatch, lines[path]) if found] for path in paths}
    is_trn = {path: bool(rows) and len({utt for utt, _ in rows}) == len(lines[path]) for path, rows in trn.items()}
    ids = {line.split(maxsplit=1)[0] for path in paths if not is_trn[path] for line in lines[path]}
    found = []
    for path in paths:
        if is_trn[path] and ids.isdisjoint(line.split(maxsplit=1)[0] for line in lines[path]):
            log.info("%s: read as sclite's trn, the id in brackets after the words", path)
            found.append(_by_id(Path(path), trn[path]))
        else:
            found.append(read_text(path))
    return found


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path}: no such file: give a text file with one 'UTTERANCE-ID words' line per utterance")
    lines = []
    for number, raw in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            lines.append(raw.decode("utf-8").strip())
        except UnicodeDecodeError as error:
            raise UserError(f"{path}:{number}: not UTF-8 (byte {raw[error.start]:#04x}): convert the file, for example with iconv") from None
        if not lines[-1]:
            raise UserError(f"{path}:{number}: empty line: remove it, or start it with an utterance id")
    return lines


def _by_id(path: Path, rows: Iterable[Sequence[str]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, (utterance, words) in enumerate(rows, 1):
        if utterance in lines:
            raise UserError(f"{path}:{number}: duplicate utterance {utterance!r}, also in line {lines[utterance]}: remove one of the two lines")
        lines[utterance] = number
        texts[utterance] = " ".join(words.split())
    return texts


def read_utt2spk(path: str | Path) -> dict[str, str]:
    """Reads `UTTERANCE-ID SPEAKER-ID` lines; an id without a speaker raises UserError."""
    speakers = read_text(path)
    for utterance, speaker in speakers.items():
        if not speaker or " " in speaker:
            raise UserError(f"{path}: utterance {utterance!r} has {speaker!r} instead of one speaker id: correct the line")
    return speakers


def speakers_beside(ref: str | Path, utt2spk: str | Path | None = None) -> dict[str, str] | None:
    """The speakers in `utt2spk`, by default in the file utt2spk beside `ref`; None if there is none."""
    path = Path(utt2spk) if utt2spk else Path(ref).parent / "utt2spk"
    return read_utt2spk(path) if utt2spk or path.is_file() else None


def split_units(text: str, unit: str) -> list[str]:
    """The units of one utterance: words between white space, or code points without white space; a tag (<NOISE>) is one unit.

    The published DeepSpeech2 CER also ignores spaces; ESPnet's CER counts them as characters.
    """
    return text.split() if unit == "word" else [char for char in characters(text, "") if char]


def width(text: str) -> int:
    """Columns on a terminal: wide East-Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
