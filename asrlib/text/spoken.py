"""English numbers and abbreviations as the words that are read aloud."""

import functools
import re
import unicodedata

import inflect

from asrlib.text.tags import split_tags

ABBREVIATIONS = {
    "mrs": "missus", "mr": "mister", "dr": "doctor", "drs": "doctors", "st": "saint", "co": "company", "jr": "junior",
    "maj": "major", "gen": "general", "rev": "reverend", "lt": "lieutenant", "hon": "honorable", "sgt": "sergeant",
    "capt": "captain", "esq": "esquire", "ltd": "limited", "col": "colonel", "ft": "fort",
}  # fmt: skip
CURRENCIES = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent")}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
MEASURES = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "kg": "kilogram", "mg": "milligram", "lb": "pound", "hz": "hertz", "khz": "kilohertz",
    "mhz": "megahertz", "ghz": "gigahertz", "gb": "gigabyte", "mb": "megabyte", "kw": "kilowatt", "mph": "mile per hour",
}  # fmt: skip
LONGEST = 15  # digits of a number that is read as one
DENOMINATORS = {*range(2, 11), 16, 32, 64, 100}  # others are rather dates or scores: 9/11, 24/7

ABBREVIATION = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.", re.IGNORECASE)
# A number with nothing beside it that would make it another one (a date, a range, a version, a word): such a string is left as it is.
BEFORE = r"(?<![\w.,:/$£€¥%°#+±×÷~–−^\\-])(?<!\d['′\"″])(?P<minus>[-−–]?)"
AFTER = r"(?![\w$£€¥¢%‰°'′]|[.,:/~+×÷–−*^-]+[\d$£€]|[.,:/~+×÷–−*^]+\w|-\w(?!\w))"
# Numbers that spaces join (3 - 5, 10 000) can be read in several ways.
JOINED = re.compile(r"\S*\d[%°]?(?:\s+[-‐‑‒–/:]\s*|\s*[-‐‑‒–/:]\s+)[-–$£€]*\.?\d\S*|(?<!\S)[-$£€]*\d{1,3}(?:\s\d{3})+(?!\w)")
WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
NUMBER = rf"{WHOLE}(?:\.\d+)?|\.\d+"
MONEY = re.compile(
    rf"{BEFORE}(?:(?P<sign>[$£€])(?P<amount>{NUMBER})|(?P<amount_>{NUMBER})(?P<sign_>[$£€]))"
    rf"(?:[ -]?(?P<scale>(?:hundred|thousand|[mbtr]+illion)s?|[kKmM]|[mb]n|bn|B)(?!\w))?{AFTER}"
)
FRACTION = re.compile(rf"{BEFORE}(?:(?P<whole>\d{{1,3}})[ -])?(?P<top>\d{{1,2}})/(?P<bottom>\d{{1,3}}){AFTER}")
TIME = re.compile(rf"{BEFORE}(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d){AFTER}")
PERCENT = re.compile(rf"{BEFORE}(?P<number>{NUMBER})\s?%(?![\w%]|[.,:/-]\d)")
ORDINAL = re.compile(rf"{BEFORE}(?P<number>{WHOLE})(?:st|nd|rd|th)(?!\w|[-–—/]\d)", re.IGNORECASE)
DECADE = re.compile(rf"{BEFORE}'?(?P<decade>(?:1[1-9]|20)?\d0)'?s(?!\w)")
MEASURE = re.compile(rf"{BEFORE}(?P<number>{NUMBER})\s?(?P<unit>{'|'.join(MEASURES)})(?![\w/]|[²³^])", re.IGNORECASE)
PLAIN = re.compile(rf"{BEFORE}(?P<number>{NUMBER}){AFTER}")
MIXED = re.compile(r"(?<![^\s(\"'])(?:(?![ckm]?m[23]\b)[A-Za-z]+-?\d{1,3}[A-Za-z]*|\d{1,3}[DG])(?!\w|[-.,:/%]\w)")
NUMERO = re.compile(r"\bno\.\s?(?=\d)|№\s?(?=\d)", re.IGNORECASE)


def spoken_en(text: str) -> str:
    """Writes numbers, sums of money, fractions, times, ordinals, per cent signs and common titles as words.

    "Mr. Hay paid $2.50 in 1984" -> "mister Hay paid two dollars, fifty cents in nineteen eighty-four". A number of four digits from 1100 to
    2099 is read as a year, one that begins with 0 digit by digit. What can be read in several ways (2002-01-28, 50-60, 5m, 1.000,5) or by no
    rule stays as it is. Tags stay, too.
    """
    return "".join(part if is_tag else _outside(JOINED, part) for part, is_tag in split_tags(text))


def _outside(pattern: re.Pattern, text: str) -> str:
    """The text read aloud, except for the matches of a pattern."""
    gaps, matches = pattern.split(text), pattern.findall(text)
    return "".join(piece for gap, match in zip(gaps, [*matches, ""], strict=True) for piece in (_spoken(gap), match))


def _spoken(text: str) -> str:
    text = ABBREVIATION.sub(lambda found: ABBREVIATIONS[found[1].lower()], _vulgar(text))
    text = NUMERO.sub("number ", text)
    text = text.replace("&", " and ")
    for pattern, read in ((MONEY, _money), (FRACTION, _fraction), (TIME, _time), (PERCENT, _percent), (ORDINAL, _ordinal), (DECADE, _decade)):
        text = pattern.sub(functools.partial(_read, read), text)
    text = MEASURE.sub(functools.partial(_read, _measure), text)
    text = PLAIN.sub(functools.partial(_read, lambda found: _number(found["number"], year=not found["minus"])), text)
    return MIXED.sub(_mixed, text)


def _vulgar(text: str) -> str:
    """½ as 1/2, full-width digits and signs as narrow ones."""
    text = re.sub(r"(\d?)([¼-¾⅐-⅞])", lambda found: f"{found[1]} " * bool(found[1]) + _narrow(found[2]).replace("\u2044", "/"), text)
    return re.sub("[０-９．，：／％＄￡－＋]", lambda found: _narrow(found[0]), text)


def _narrow(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _read(read, found: re.Match) -> str:
    """The words of a match, or the match itself where it is no number that can be read."""
    words = read(found)
    return found[0] if words is None else "minus " * bool(found["minus"]) + words


@functools.cache
def _engine() -> inflect.engine:
    return inflect.engine()


def _in_words(number: str) -> str:
    words = _engine().number_to_words(number, andword="")
    assert isinstance(words, str)  # inflect returns a list only for groups
    return words.replace(",", "")


def _number(number: str, year: bool = False) -> str | None:
    """1,234.5 -> "one thousand two hundred thirty-four point five"; None for a number that is too long."""
    whole, point, rest = number.replace(",", "").partition(".")
    if len(whole) > LONGEST:
        return None
    if point:
        return f"{_number(whole or '0')} point {' '.join(map(_in_words, rest))}"
    if len(whole) > 1 and whole[0] == "0":
        return " ".join(map(_in_words, whole))
    return _year(whole) if year and number == whole and re.fullmatch(r"1[1-9]\d\d|20\d\d", whole) else _in_words(whole)


def _year(number: str) -> str:
    if number[1:3] == "00":  # 2000 to 2009
        return _in_words(number)
    century, rest = _in_words(number[:2]), number[2:]
    return f"{century} hundred" if rest == "00" else f"{century} oh {_in_words(rest[1])}" if rest[0] == "0" else f"{century} {_in_words(rest)}"


def _money(found: re.Match) -> str | None:
    large, small = CURRENCIES[found["sign"] or found["sign_"]]
    amount, scale = found["amount"] or found["amount_"], found["scale"]
    whole, _, cents = amount.replace(",", "").partition(".")
    if scale or len(cents) not in (0, 2):
        number = _number(amount)
        return number and " ".join([number, *([SCALES.get(scale.lower(), scale.lower())] if scale else []), _plural(large)])
    if len(whole) > LONGEST:
        return None
    parts = [(int(whole or 0), large), (int(cents or 0), small)]
    amounts = [f"{_in_words(str(n))} {unit if n == 1 else _plural(unit)}" for n, unit in parts if n] or [f"zero {_plural(large)}"]
    return ", ".join(amounts)


def _fraction(found: re.Match) -> str | None:
    top, bottom = int(found["top"]), int(found["bottom"])
    if not 0 < top < bottom or bottom not in DENOMINATORS or "0" in (found["top"][0], found["bottom"][0]):
        return None
    name = {2: "half", 4: "quarter"}.get(bottom) or _engine().ordinal(_in_words(str(bottom)))
    name = name if top == 1 else "halves" if bottom == 2 else _plural(name)
    if found["whole"]:
        article = "a" if top == 1 else _in_words(str(top))
        return f"{_number(found['whole'])} and {article} {name}"
    return f"{_in_words(str(top))} {name}"


def _time(found: re.Match) -> str:
    hour, minute = _in_words(str(int(found["hour"]))), found["minute"]
    return f"{hour} o'clock" if minute == "00" else f"{hour} oh {_in_words(minute[1])}" if minute[0] == "0" else f"{hour} {_in_words(minute)}"


def _percent(found: re.Match) -> str | None:
    number = _number(found["number"])
    return number and f"{number} percent"


def _ordinal(found: re.Match) -> str | None:
    number = _number(found["number"])
    return number and _engine().ordinal(number)


def _decade(found: re.Match) -> str:
    decade = found["decade"]
    words = _year(decade) if len(decade) == 4 else _in_words(decade)
    return _plural(words)


def _measure(found: re.Match) -> str | None:
    number, unit = _number(found["number"]), MEASURES[found["unit"].lower()]
    if number is None or unit == "hertz" or unit.endswith("hertz") or number == "one":
        return number and f"{number} {unit}"
    return f"{number} {unit.replace('mile', 'miles') if ' ' in unit else _plural(unit)}"


def _mixed(found: re.Match) -> str:
    """MP3, 4G, COVID-19: letters as they are, the number beside them in words."""
    pieces = re.findall(r"[A-Za-z]+|\d+", found[0])
    return " ".join(_number(piece) or piece if piece.isdecimal() else piece for piece in pieces)


def _plural(word: str) -> str:
    return _engine().plural_noun(word)
