"""Normalisation of transcripts for comparison."""

import opencc
import pytest

from asrlib.text.simplify import comparable, simplified


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("請打開客廳的電燈", "请打开客厅的电灯"),
        ("看著臺灣的鐘", "看着台湾的钟"),
        ("著名的乾坤", "著名的乾坤"),
        ("打开电灯", "打开电灯"),
        ("", ""),
    ],
)
def test_traditional_characters(text, expected):
    assert simplified(text) == expected


def test_what_two_makers_write_differently_is_the_same():
    forms = ["打开WIFI的电灯", "打开 wifi 的 电灯", "打开ＷｉＦｉ的电灯。", "打開　WiFi「的」電燈！", "打开\u200bwifi的电灯"]
    assert {comparable(form) for form in forms} == {"打开WIFI的电灯"}
    assert comparable("It's late.") == comparable("its LATE") != comparable("its lane")
    assert comparable(" ，。") == ""


def test_real_transcripts_come_back_from_every_traditional_form(shared):
    lines = (shared / "speech/aishell1/data_aishell/transcript/aishell_transcript_v0.8.txt").read_text(encoding="utf-8").splitlines()
    texts = [line.split(maxsplit=1)[1].replace(" ", "") for line in lines]
    assert len(texts) >= 200
    for form in ("s2t", "s2tw", "s2hk"):
        write = opencc.OpenCC(form).convert
        assert sum(write(text) != text for text in texts) > len(texts) // 2
        assert [simplified(write(text)) for text in texts] == texts
