"""Kaldi text files, sclite's trn files, and the units to score."""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from asrlib.text.tags import characters
from asrlib.utils.errors import UserError
from asrlib.utils.keyed_lines import KeyedLines, lines_of, split_key
from asrlib.utils.log import get_logger

log = get_logger(__name__)

UNITS = ("word", "char")
TRN = re.compile(r"(.*?)\s*\(([^\s()]*[-_0-9][^\s()]*)\)")


def read_text(path: str | Path) -> Mapping[str, str]:
    """Reads `UTTERANCE-ID words...` lines into {utterance id: words}, in the file's order; the words stay in the file (KeyedLines).

    A line with only an id is an utterance without words. UserError: the file is missing, not UTF-8, has an empty line or a duplicate id;
    the message gives the line number.
    """
    return KeyedLines(path)


def read_texts(*paths: str | Path) -> list[Mapping[str, str]]:
    """`read_text` of a reference and its hypotheses, which may also be in sclite's trn format: `words... (UTTERANCE-ID)`.

    A file is trn if every line ends with an id in brackets, none of them twice, unless its lines begin with ids of a file that is not trn.
    """
    trn = {path for path in paths if _is_trn(path)}
    if trn and trn != set(paths):
        ids = {split_key(line)[0] for path in set(paths) - trn for line in lines_of(path)}
        trn = {path for path in trn if ids.isdisjoint(split_key(line)[0] for line in lines_of(path))}
    for path in trn:
        log.info("%s: read as sclite's trn, the id in brackets after the words", path)
    return [KeyedLines(path, _split_trn) if path in trn else read_text(path) for path in paths]


def _is_trn(path: str | Path) -> bool:
    ids, lines = set(), 0
    for line in lines_of(path):
        found, lines = TRN.fullmatch(line), lines + 1
        if not found:
            return False
        ids.add(found[2])
    return bool(ids) and len(ids) == lines


def _split_trn(line: str) -> tuple[str, str]:
    words, utterance = TRN.fullmatch(line.strip()).groups()  # type: ignore[union-attr]  # _is_trn has seen it
    return utterance, " ".join(words.split())


def read_utt2spk(path: str | Path) -> Mapping[str, str]:
    """Reads `UTTERANCE-ID SPEAKER-ID` lines; an id without a speaker raises UserError."""
    speakers = read_text(path)
    for utterance, speaker in speakers.items():
        if not speaker or " " in speaker:
            raise UserError(f"{path}: utterance {utterance!r} has {speaker!r} instead of one speaker id: correct the line")
    return speakers


def speakers_beside(ref: str | Path, utt2spk: str | Path | None = None) -> Mapping[str, str] | None:
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
