"""Marks of the Corpus of Spontaneous Japanese: a letter and words in round brackets, which may be nested.

(F えー) filler, (D こ) and (D2 を) fragments, (? 技術) and (? 技術,記述) not clear, (?) not understood, (W ギーツ;ギジュツ) as it was said; as it was
meant, (A シーディー;CD) as it is read; as it is written, likewise (B ...;...) and (K ...;...), (M ...) a word as an object, (O ...) another language,
(X ...) not grammatical, (L ...) whispered, (笑 ...), (泣 ...) and (咳 ...) with these sounds, (R ×××) a name that was left out.
"""

import re
import unicodedata

_FLAT = r"[^()（）]*"
_INSIDE = rf"{_FLAT}(?:[(（]{_FLAT}(?:[(（]{_FLAT}[)）]{_FLAT})*[)）]{_FLAT})*"  # brackets in brackets in brackets
_LEFT = rf"[^()（）;；]*(?:[(（]{_FLAT}(?:[(（]{_FLAT}[)）]{_FLAT})*[)）][^()（）;；]*)*"
_JAPANESE = r"[\u3041-\u30ff\u3400-\u9fff々×＊０-９Ａ-Ｚａ-ｚ(（<]"  # how their words begin
_LATIN = r"(?!(?:major|minor|sharp|flat|note|chord|string)\b)[a-z]{1,6}[)）]"  # a sound or fragment; (D minor) is music
MARKED = (
    rf"(?-i:[(（](?:[?？]|(?:[DＤ][2２]?|[FＦ])\s+(?:(?={_JAPANESE}){_INSIDE}|(?={_LATIN}){_FLAT})"
    rf"|[MORXLＭＯＲＸＬ笑泣咳]\s+(?={_JAPANESE}){_INSIDE}|[WABKＷＡＢＫ]\s+{_LEFT}[;；](?!\s){_INSIDE}|[?？]\s+{_INSIDE})[)）])"
)
_MARK = re.compile(MARKED)


def is_marked(tag: str) -> bool:
    """Whether a tag is a mark with words."""
    return _MARK.fullmatch(tag) is not None


def has_words(tag: str) -> bool:
    """Whether the words of a mark are in it: not those of (?) and (R ×××)."""
    return _mark(tag)[0] != "R" and tag[1:-1] not in "?？"


def words_of(tag: str) -> str:
    """What was said, of two forms the first one: without fillers and fragments, which are sounds rather than words."""
    mark, content = _mark(tag)
    if mark in ("F", "D", "D2", "R"):
        return ""
    forms = [_MARK.sub(lambda found: words_of(found[0]), form) for form in _split(content, "，,、" if mark == "?" else ";；")]
    return next((form for form in forms if form.strip()), "")


def _mark(tag: str) -> tuple[str, str]:
    mark, *content = tag[1:-1].split(maxsplit=1)
    return unicodedata.normalize("NFKC", mark), content[0] if content else ""


def _split(text: str, signs: str) -> list[str]:
    """The parts of a text between signs that are in no brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "(（") - (char in ")）")
        if char in signs and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts
