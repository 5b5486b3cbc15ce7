"""English numbers and abbreviations as the words that are read aloud."""

import functools
import re

import inflect

ABBREVIATIONS = {
    "mrs": "missus", "mr": "mister", "dr": "doctor", "drs": "doctors", "st": "saint", "co": "company", "jr": "junior",
    "maj": "major", "gen": "general", "rev": "reverend", "lt": "lieutenant", "hon": "honorable", "sgt": "sergeant",
    "capt": "captain", "esq": "esquire", "ltd": "limited", "col": "colonel", "ft": "fort",
}  # fmt: skip
UNITS = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent")}
ABBREVIATION = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.", re.IGNORECASE)
MONEY = re.compile(r"([$£€])(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d\d))?(?!\d|\.\d)")
GROUPED = re.compile(r"\b\d{1,3}(?:,\d{3})+\b(?!\.\d)")
DECIMAL = re.compile(r"(\d+)\.(\d+)")
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
NUMBER = re.compile(r"\d+")


def spoken_en(text: str) -> str:
    """Writes numbers, sums of money, ordinals, per cent signs and common titles as words.

    "Mr. Hay paid $2.50 in 1984" -> "mister Hay paid two dollars, fifty cents in nineteen eighty-four". A number of four digits from 1100 to
    2099 is read as a year. In other strings with digits each number is read by itself.
    """
    text = ABBREVIATION.sub(lambda found: ABBREVIATIONS[found[1].lower()], text)
    text = MONEY.sub(_money, text)
    text = GROUPED.sub(lambda found: _words(found[0].replace(",", "")), text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(?<=\d)\s*%", " percent", text).replace("&", " and ")
    text = DECIMAL.sub(lambda found: f"{_words(found[1])} point {' '.join(_words(digit) for digit in found[2])}", text)
    text = ORDINAL.sub(lambda found: _in_words(_engine().ordinal(str(int(found[1])))), text)
    return NUMBER.sub(lambda found: _year(found[0]) if re.fullmatch(r"1[1-9]\d\d|20\d\d", found[0]) else _words(found[0]), text)


@functools.cache
def _engine() -> inflect.engine:
    return inflect.engine()


def _in_words(number: str) -> str:
    words = _engine().number_to_words(number, andword="")
    assert isinstance(words, str)  # inflect returns a list only for groups
    return words


def _words(number: str) -> str:
    return _in_words(str(int(number))).replace(",", "")


def _year(number: str) -> str:
    if number[1:3] == "00":  # 2000 to 2009
        return _words(number)
    century, rest = _words(number[:2]), number[2:]
    return f"{century} hundred" if rest == "00" else f"{century} oh {_words(rest)}" if rest[0] == "0" else f"{century} {_words(rest)}"


def _money(found: re.Match) -> str:
    large, small = UNITS[found[1]]
    parts = [(int(found[2].replace(",", "")), large), (int(found[3] or 0), small)]
    amounts = [f"{_words(str(n))} {_engine().plural(unit, n)}" for n, unit in parts if n] or [f"zero {_engine().plural(large, 0)}"]
    return ", ".join(amounts)
