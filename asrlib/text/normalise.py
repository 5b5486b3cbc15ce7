"""Normalisation of text to the conventions of a corpus.

Characters that are not pronounced (punctuation, control characters) are removed. Characters that are pronounced but have no certain
spelling (digits, %, &, letters of other scripts) are kept, so that the check against the label set reports them instead of losing a word.
So are signs that belong to a number (6.42, 1/5, 10:30, -10), tags ([noise]) and sclite's alternatives ({ a / b }).
"""

import re
import unicodedata
from itertools import groupby

from asrlib.text.tags import split_tags

APOSTROPHES = str.maketrans(dict.fromkeys("‘’‛ʼʻ＇ꞌ′´`", "'"))
PRONOUNCED = "&%@#§‰{}"  # punctuation in Unicode, but read aloud as words, or signs of alternatives
ALTERNATIVES = re.compile(r"\{[^{}]*[^\s{}]\s*/\s*[^\s{}][^{}]*\}")
# All signs between two digits (spaced ones, if they join numbers), a minus or a point before a digit, a slash or the sign of minutes after one.
NUMBER_SIGN = r"(?<=\d)[^\w\s]+(?=\d)|(?<=[\d%])\s*[-‐‑‒–/:]\s*(?=[-.]?\d)|(?<![-–—])[-‐‑‒–/](?=[.$€£¥]?\d)|(?<!\.)\.(?=\d)|(?<=\d)[/'″]"
APOSTROPHE = "(?<=[A-Z0-9À-ÖØ-Þ\u0300-\u036f])'|'(?=[A-Z])"
SPACED = "[A-Z0-9À-ÖØ-Þ\u0300-\u036f'%/:+−–-]"  # Latin letters (of upper case) and numbers: a space between two of these stays
QUOTED = re.compile(r"(?<![A-Z0-9])'(?=\S)((?:[^']|(?<=[A-Z])'(?=[A-Z]))*)(?<=\S)'(?![A-Z0-9])")


def normalise_en(text: str, keep: str = "") -> str:
    """English as in LibriSpeech: upper case, A to Z and apostrophes, single spaces between words.

    Compatibility forms are folded (NFKC: full width, ligatures), all apostrophes become straight, accents on Latin letters are removed
    (CAFÉ, CAFE), punctuation becomes a space (WELL-KNOWN, WELL KNOWN), quotation marks around a word are removed. keep: punctuation to keep.
    """
    return " ".join(" ".join(part if kept else _english(part, keep) for part, kept in _parts(text)).split())


def normalise_zh(text: str, keep: str = "") -> str:
    """Mandarin as in AISHELL-1: characters without spaces, half-width forms (NFKC), Latin letters in upper case, no punctuation.

    English words and numbers stay what they are: they keep apostrophes and the spaces between them. AISHELL-1 itself has some Latin words in
    mixed case and some brackets. Traditional characters and numerals are kept. keep: punctuation to keep.
    """
    text = "".join((part if part[0] in "<[{(/}" else f" {part} ") if kept else _mandarin(part, keep) for part, kept in _parts(text))
    return " ".join(text.split())


def unspelled(text: str, keep: str = "") -> list[str]:
    """The digits and signs in a normalised text, which are read aloud and have no spelling, without those of tags and in `keep`."""
    chars = (char for part, is_tag in split_tags(text) if not is_tag for char in part)
    return [char for char in chars if unicodedata.category(char)[0] in "NPS" and char not in keep + "'"]


def _parts(text: str) -> list[tuple[str, bool]]:
    """The text in parts, each with whether it stays as it is: tags, and the signs of alternatives, whose words are normalised."""
    parts = []
    for part, is_tag in split_tags(text):
        end = 0
        for found in () if is_tag else ALTERNATIVES.finditer(part):
            parts += [(part[end : found.start()], False), *((piece, piece in "{/}") for piece in re.split("([{/}])", found[0]))]
            end = found.end()
        parts.append((part[end:], is_tag))
    return [(part, kept) for part, kept in parts if part]


def _english(text: str, keep: str) -> str:
    text = _fold(text.translate(APOSTROPHES)).translate(APOSTROPHES).upper()
    text = re.sub("(?<=[A-Z])[\u0300-\u036f]+", "", unicodedata.normalize("NFD", text))
    text = _remove(re.sub("''+", " ", unicodedata.normalize("NFC", text)), keep + "'", NUMBER_SIGN)
    words = [re.sub("^'(.*)'$", r"\1", word) for word in re.sub("''+", " ", text).split()]
    return " ".join(word for word in words if word.strip("'"))


def _mandarin(text: str, keep: str) -> str:
    text = QUOTED.sub(r"\1", _fold(_fold(text).upper()).translate(APOSTROPHES))
    text = _remove(text, keep, f"{NUMBER_SIGN}|{APOSTROPHE}")
    text = re.sub(rf"(?<!{SPACED})\s+|\s+(?!{SPACED})", "", text)
    return " ".join(unicodedata.normalize("NFC", text).split())  # recompose: without the space, an accent joins the letter before it


def _fold(text: str) -> str:
    """NFKC, except for characters that would become digits beside other text: 5², 1½, m², ⑴; a lone ① becomes 1."""
    if unicodedata.is_normalized("NFKC", text):  # then no character stays that would be folded; so are most texts
        return text
    folded = []
    for stays, run in groupby(range(len(text)), key=lambda index: _is_numeral(text, index)):
        part = "".join(text[index] for index in run)
        folded.append(part if stays else unicodedata.normalize("NFKC", part))
    return "".join(folded)


def _is_numeral(text: str, index: int) -> bool:
    char = text[index]
    if char == "″":  # seconds or inches, not two apostrophes
        return True
    if char.isdecimal() or not any(c.isdecimal() or c == "\u2044" for c in unicodedata.normalize("NFKC", char)):
        return False
    beside = text[max(index - 1, 0) : index] + text[index + 1 : index + 2]
    return not unicodedata.decomposition(char).startswith("<circle>") or any(c.isnumeric() for c in beside)


def _remove(text: str, keep: str, signs: str) -> str:
    """Replaces punctuation by spaces, but for characters in `keep` and matches of `signs`; removes control and format characters."""
    kept = {index for found in re.finditer(signs, text) for index in range(*found.span())}

    def shown(index: int, char: str) -> str:
        category = unicodedata.category(char)
        if category[0] == "P" and index not in kept and char not in keep + PRONOUNCED:
            return " "
        return "" if category in ("Cc", "Cf") and not char.isspace() else char

    return "".join(shown(index, char) for index, char in enumerate(text))
