"""The leak filter: its matches, its errors, its files."""

import pytest

from asrlib.bin import concat_data, filter_leaks
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import write_table
from asrlib.corpora.leaks import find_leaks, transcripts, without
from asrlib.text.simplify import comparable
from asrlib.utils.errors import UserError

TRAIN = {
    "a-1": "打开电灯",
    "a-2": "打开 客厅 的 电灯。",
    "a-3": "「打開」　空調！",
    "a-4": "打开空调吧",
    "b-1": "播放ＭＵＳＩＣ",
    "b-2": "，。",
}


@pytest.fixture
def train(tmp_path, make_audio):
    folder = tmp_path / "train"
    wav = {utt: str(make_audio(tmp_path / "wav" / f"{utt}.wav", 2.4, 8000)) for utt in TRAIN}
    KaldiDir({"wav.scp": wav, "text": TRAIN, "utt2spk": {utt: utt[0] for utt in TRAIN}}).write(folder)
    return folder


@pytest.fixture
def held(tmp_path):
    """A folder with dev and test, which only need text."""
    dev = {"d-2": "打开客厅的电灯", "d-1": "打開客廳的電燈"}
    test = {"t-1": "打开空调", "t-2": "播放 music", "t-3": "。"}
    for name, texts in {"dev": dev, "test": test}.items():
        (tmp_path / "held" / name).mkdir(parents=True)
        write_table(tmp_path / "held" / name / "text", texts)
    return tmp_path / "held"


def test_command(train, held, tmp_path, capsys):
    out = tmp_path / "out"
    filter_leaks.main(["--data_dir", str(train), "--against", f"{held}/dev {held}/test", "--out", str(out)])
    left = KaldiDir.read(out)
    assert sorted(left.utt2spk) == sorted(left.text) == sorted(left.wav) == ["a-1", "a-4", "b-2"]
    assert (out / "leaks.tsv").read_text(encoding="utf-8").splitlines() == [
        "utterance\ttranscript\tset\tequals",
        f"a-2\t打开 客厅 的 电灯。\t{held}/dev\td-1",
        f"a-3\t「打開」　空調！\t{held}/test\tt-1",
        f"b-1\t播放ＭＵＳＩＣ\t{held}/test\tt-2",
    ]
    table = "set\tutterances\thours\nbefore\t6\t0.004\nafter\t3\t0.002\n"
    assert (out / "hours.tsv").read_text() == table
    assert capsys.readouterr().out == f"{table}{out}: 3 of the 6 utterances of {train}, 3 removed (leaks.tsv)\n"
    filter_leaks.main(["--data_dir", str(out), "--against", str(held), "--out", str(out)])
    assert len(KaldiDir.read(out)) == 3 and (out / "leaks.tsv").read_text().count("\n") == 1, "a second time there is nothing to find"


def test_an_empty_transcript_is_nobodys(train, held):
    found = {leak.utt for leak in find_leaks(KaldiDir.read(train), transcripts([held]), comparable)}
    assert "b-2" not in found and "a-4" not in found and len(found) == 3


def test_as_many_words_are_needed_as_the_comparison_says(train, held):
    """The normalisation decides which transcripts are equal."""
    assert [leak.utt for leak in find_leaks(KaldiDir.read(train), transcripts([held]), str.strip)] == []
    assert [leak.utt for leak in find_leaks(KaldiDir.read(train), {"x": {"x-1": "打开电灯"}}, str.strip)] == ["a-1"]


def test_what_cannot_be_filtered(train, held, tmp_path):
    data = KaldiDir.read(train)
    concat_data.main(["--data_dir", str(train), "--out", str(tmp_path / "joined")])
    with pytest.raises(UserError, match="filter leaks before concatenation"):
        find_leaks(KaldiDir.read(tmp_path / "joined"), transcripts([held]), comparable)
    with pytest.raises(UserError, match="has no text"):
        find_leaks(KaldiDir({"utt2spk": data.utt2spk}), transcripts([held]), comparable)
    with pytest.raises(UserError, match="x: no transcripts to compare with"):
        find_leaks(data, {"x": {"x-1": "。"}}, comparable)
    with pytest.raises(UserError, match="every utterance has a transcript or recording of the evaluation sets"):
        without(data, find_leaks(data, {"x": TRAIN}, str.strip))


def test_where_evaluation_sets_are(held, tmp_path, shared):
    assert list(transcripts([held])) == [f"{held}/dev", f"{held}/test"] and list(transcripts([held / "dev"])) == [f"{held}/dev"]
    corpus = shared / "speech/aishell1/data_aishell"
    sets = transcripts([corpus])
    assert {name: len(texts) for name, texts in sets.items()} == {f"{corpus}/wav/dev": 25, f"{corpus}/wav/test": 25}
    (held / "test/text").unlink()
    with pytest.raises(UserError, match="test/text is missing.: give Kaldi data directories"):
        transcripts([held])
    with pytest.raises(UserError, match="nowhere has no evaluation sets"):
        transcripts([tmp_path / "nowhere"])


def test_lines_that_cannot_be_read_are_not_passed_over(held):
    (held / "dev/text").write_bytes("d-9 空\nd-1\n".encode())  # unsorted, and one empty: accepted
    assert transcripts([held / "dev"]) == {f"{held}/dev": {"d-9": "空", "d-1": ""}}
    (held / "dev/text").write_bytes("d-1 空调\n".encode("gbk"))
    with pytest.raises(UserError, match="dev/text, line 1: not UTF-8"):
        transcripts([held / "dev"])
