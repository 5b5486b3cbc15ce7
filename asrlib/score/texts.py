"""Kaldi text files and the units to score."""

import unicodedata
from pathlib import Path

from asrlib.utils.errors import UserError

UNITS = ("word", "char")


def read_text(path: str | Path) -> dict[str, str]:
    """Reads `UTTERANCE-ID words...` lines into {utterance id: words}, in the file's order.

    A line with only an id is an utterance without words. UserError: the file is missing, not UTF-8, has an empty line or a duplicate id;
    the message gives the line number.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file: give a text file with one 'UTTERANCE-ID words' line per utterance")
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, raw in enumerate(content.splitlines(), 1):
        try:
            fields = raw.decode("utf-8").split(maxsplit=1)
        except UnicodeDecodeError as error:
            raise UserError(f"{path}:{number}: not UTF-8 (byte {raw[error.start]:#04x}): convert the file, for example with iconv") from None
        if not fields:
            raise UserError(f"{path}:{number}: empty line: remove it, or start it with an utterance id")
        utterance = fields[0]
        if utterance in lines:
            raise UserError(f"{path}:{number}: duplicate utterance {utterance!r}, also in line {lines[utterance]}: remove one of the two lines")
        lines[utterance] = number
        texts[utterance] = " ".join(fields[1].split()) if len(fields) > 1 else ""
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
    """The units of one utterance: words between white space, or code points without white space.

    The published DeepSpeech2 CER also ignores spaces; ESPnet's CER counts them as characters.
    """
    return text.split() if unit == "word" else list("".join(text.split()))


def width(text: str) -> int:
    """Columns on a terminal: wide East-Asian characters take two, combining marks none."""
    return sum(0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
