"""Characters that look like a space or like nothing, and their names.

White space and format characters are those of Unicode (https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt, property White_Space;
general category Cf).
"""

import re
import unicodedata
from collections.abc import Iterable

BLANKS = "\u2800\u3164\uffa0"  # braille blank, Hangul fillers: not white space by their category, but shown as one
JOINERS = "\u200c\u200d"  # zero-width joiners belong to the spelling of Persian, Hindi and others
INVISIBLE = "\u200b\u2060\ufeff\u00ad\u180e\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\u2061-\u2064"
SPACES = re.compile(rf"[^\S ]|[{BLANKS}]")  # white space other than the plain space
HIDDEN = re.compile(f"[{INVISIBLE}]")
ODD = re.compile(rf"[^\S \t]|[{BLANKS}{INVISIBLE}]")


def odd_spaces(text: str) -> list[str]:
    """The characters of a text that `plain` changes, in order. The tab is no odd space: it separates the fields of a line."""
    return ODD.findall(text)


def plain(text: str) -> str:
    """The text with single plain spaces for all kinds of white space, and without invisible characters (zero-width space, BOM, soft hyphen)."""
    return " ".join(SPACES.sub(" ", HIDDEN.sub("", text)).split())


def code_point(char: str) -> str:
    """A character's code point and name: U+00A0 NO-BREAK SPACE."""
    return f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip()


def same_letters(word: str, others: Iterable[str]) -> str:
    """A remark if one of the others has the same letters as the word in another Unicode normal form, so that it looks the same; else ""."""
    form = unicodedata.normalize("NFC", word)
    if word.isascii() or not any(unicodedata.normalize("NFC", other) == form for other in others if other != word):
        return ""
    return f" ({'composed, NFC' if word == form else 'decomposed, not NFC'}; the other file has the same letters in another Unicode form)"
