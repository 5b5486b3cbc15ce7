"""Mandarin transcripts of different makers in one form, in which they can be compared."""

import functools

import opencc

from asrlib.text.normalise import normalise_zh


def simplified(text: str) -> str:
    """Traditional characters as simplified ones, also those of Taiwan and Hong Kong; what is simplified stays (OpenCC with its configuration tw2s)."""
    return _converter().convert(text)


def comparable(text: str) -> str:
    """A transcript without what two makers write differently: width (NFKC), case, spaces, punctuation, traditional or simplified characters.

    Of any language, but not to be read: English loses its spaces.
    """
    return simplified(normalise_zh(text))


@functools.cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("tw2s")
