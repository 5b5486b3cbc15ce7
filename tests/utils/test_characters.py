"""Spaces and invisible characters of Unicode."""

import sys
import unicodedata

from asrlib.utils.characters import code_point, odd_spaces, plain


def test_every_white_space_of_unicode_becomes_a_plain_space():
    spaces = [char for char in map(chr, range(sys.maxunicode + 1)) if char.isspace()]
    assert len(spaces) > 25
    assert {plain(f"a{char}b") for char in spaces} == {"a b"}
    assert odd_spaces("".join(spaces)) == [char for char in spaces if char not in " \t"]


def test_separators_of_unicode_are_odd_spaces():
    assert all(odd_spaces(char) for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char)[0] == "Z" and char != " ")


def test_invisible_characters_vanish_but_joiners_stay():
    assert plain("so\u00adft\u200b \ufeffword\u200e") == "soft word"
    assert plain("می\u200cخواهم क्\u200dष") == "می\u200cخواهم क्\u200dष"
    assert odd_spaces("a b\tc") == []
    assert odd_spaces("a\u00a0b\u200b") == ["\u00a0", "\u200b"]


def test_names():
    assert code_point("\u00a0") == "U+00A0 NO-BREAK SPACE"
    assert code_point("\x07") == "U+0007"
