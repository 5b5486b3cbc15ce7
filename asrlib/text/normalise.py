"""Normalisation of text to the conventions of a corpus.

Characters that are not pronounced (punctuation, control characters) are removed. Characters that are pronounced but have no certain
spelling (digits, %, &, letters of other scripts) are kept, so that the check against the label set reports them instead of losing a word.
"""

import re
import unicodedata

APOSTROPHES = str.maketrans(dict.fromkeys("‘’‛ʼ′´`", "'"))
PRONOUNCED = "&%@#§‰"  # punctuation in Unicode, but read aloud as words


def normalise_en(text: str, keep: str = "") -> str:
    """English as in LibriSpeech: upper case, A to Z and apostrophes, single spaces between words.

    Compatibility forms are folded (NFKC: full width, ligatures), all apostrophes become straight, accents on Latin letters are removed
    (CAFÉ, CAFE), punctuation becomes a space (WELL-KNOWN, WELL KNOWN), quotation marks around a word are removed. keep: punctuation to keep.
    """
    text = unicodedata.normalize("NFKC", text.translate(APOSTROPHES)).translate(APOSTROPHES).upper()
    text = re.sub("(?<=[A-Z])[\u0300-\u036f]+", "", unicodedata.normalize("NFD", text))
    text = _remove(unicodedata.normalize("NFKC", text), keep + "'", " ")
    words = [re.sub("^'(.*)'$", r"\1", word) for word in re.sub("''+", " ", text).split()]
    return " ".join(word for word in words if word.strip("'"))


def normalise_zh(text: str, keep: str = "") -> str:
    """Mandarin as in AISHELL-1: characters without spaces, half-width forms (NFKC), Latin letters in upper case, no punctuation.

    AISHELL-1 itself has some Latin words in mixed case and some brackets. Traditional characters and numerals are kept. keep: punctuation to keep.
    """
    text = _remove(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).upper()), keep, "")
    return unicodedata.normalize("NFC", "".join(text.split()))  # recompose: without the space, an accent joins the letter before it


def _remove(text: str, keep: str, instead: str) -> str:
    """Replaces punctuation not in `keep` by `instead`, removes control and format characters (zero-width spaces, soft hyphens)."""

    def kept(char: str) -> str:
        category = unicodedata.category(char)
        if category[0] == "P" and char not in keep + PRONOUNCED:
            return instead
        return "" if category in ("Cc", "Cf") and not char.isspace() else char

    return "".join(map(kept, text))
