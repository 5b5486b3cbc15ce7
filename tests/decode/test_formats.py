"""Words as CTM, SubRip and WebVTT."""

import pytest

from asrlib.decode.formats import ctm, srt, vtt
from asrlib.decode.longform import Word

WORDS = [Word("A", 0.1, 0.5, 0.25), Word("B&<", 0.6, 0.9), Word("C", 3661.5, 3662.0)]


def test_formats():
    assert ctm("talk", WORDS[:1], 2) == "talk 2 0.10 0.40 A 0.25\n"
    assert srt(WORDS) == "1\n00:00:00,100 --> 00:00:00,900\nA B&<\n\n2\n01:01:01,500 --> 01:01:02,000\nC\n"
    assert vtt(WORDS) == "WEBVTT\n\n00:00:00.100 --> 00:00:00.900\nA B&amp;&lt;\n\n01:01:01.500 --> 01:01:02.000\nC\n"
    assert (ctm("a", []), srt([]), vtt([])) == ("", "", "WEBVTT\n")


@pytest.mark.parametrize(("pause", "blocks"), [(0.05, 3), (10000, 2)])
def test_subtitles_end_at_pauses_and_when_long(pause, blocks):
    words = [Word("A", 0.1, 0.5), Word("B", 0.6, 0.9), Word("C", 6.5, 6.9)]
    assert srt(words, pause=pause).count("-->") == vtt(words, pause=pause).count("-->") == blocks
