"""Normalisation of Mandarin transcripts of different corpora to a common form for comparison."""

import functools

import opencc

from asrlib.text.normalise import normalise_zh
from asrlib.text.tags import remove_tags


def simplified(text: str) -> str:
    """Converts traditional characters, also those of Taiwan and Hong Kong, to simplified ones (OpenCC with its configuration tw2s)."""
    return _converter().convert(text)


def comparable(text: str) -> str:
    """A transcript normalised for comparison: NFKC, upper case, simplified characters, no tags, spaces or punctuation.

    Accepts any language; the result is not for reading, as English loses its spaces and apostrophes.
    """
    return "".join(simplified(normalise_zh(remove_tags(text))).replace("'", "").split())


@functools.cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("tw2s")
