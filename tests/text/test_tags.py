"""Tags of common corpora, and what is no tag."""

import logging

import pytest

from asrlib.bin import make_ngram, make_tokens, normalise_text
from asrlib.text.tags import count_tags, find_tags, is_tag, remove_tags, report_tags, split_tags, stands_for_words

SOUNDS = (
    *("<NOISE>", "<sil>", "<#s>", "<s>", "<sos/eos>", "<music/>", "<noise desc='door'/>", "<%>", "<->", "\uff1cNOISE\uff1e", "<噪音>"),
    *("[noise]", "[NOISE]", "[laughter]", "[ENS]", "[door_slam/]", "[/door_slam]", "[vocalized-noise]", "[background speech]", "\uff3bnoise\uff3d"),
    *("[笑声]", "{breath}", "{SMACK}", "{disfmarker}", "(uh)", "(UM)", "(noise)", "(%hesitation)", "（笑）", "+noise+", "++laugh++", "*cough*"),
    *("%hesitation", "%uh", "!SIL", "&=laughs", "%嗯", "（嗯）", "（咳嗽）", "【静音】", "【背景音乐】", "</foreign>", '<foreign lang="English">'),
    *("(F えー)", "(D こ)", "(D2 を)", "(F (D え))", "(F uh)", "（Ｆ えー）", "{B_TRANS}", "<o,f0,male>"),
)
WORDS = ("<unk>", "<UNK>", "[inaudible]", "[[skip]]", "[redacted]", "[laughter-yes]", "[*]", "(())", "(( ))")
WORDS += ("[PII]", "<NAME>", "[inaudible 0:01:23.5]", "<English okay>", "<EXT-I'm>", "<HES-and>", "【广告】", "（听不清）", "(?)", "(R ××)")


@pytest.mark.parametrize("tag", [*SOUNDS, *WORDS])
def test_a_tag_is_found_and_removed(tag):
    assert is_tag(tag)
    assert find_tags(f"well {tag} then") == [tag]
    assert remove_tags(f"well {tag} then") == "well then"
    assert stands_for_words(tag) == (tag in WORDS)


NO_TAGS = ("(really)", "(D minor)", "(A major; B minor)", "(F major)")


@pytest.mark.parametrize("text", [*NO_TAGS, "[1]", "50 % of", "（一）", "3 < 5 > 2", "5% off", "a + b + c", "R&B", "&", "{ a / b }", "{a / b}"])
def test_no_tag(text):
    assert find_tags(text) == []
    assert remove_tags(text) == text


def test_tags_between_characters():
    assert split_tags("<NOISE>今天<NOISE>") == [("<NOISE>", True), ("今天", False), ("<NOISE>", True)]
    assert remove_tags("THE [noise]CAT<NOISE>SAT") == "THE CAT SAT"
    assert remove_tags("a <unk> [noise]", stands_for_words) == "a <unk>"


def test_the_log_counts_what_is_removed_and_what_stays(caplog):
    logger = logging.getLogger("asrlib")
    logger.addHandler(caplog.handler)
    texts = {"u1": "a [noise] <unk>", "u2": "[noise] b"}
    assert count_tags(texts) == ({"[noise]": 2, "<unk>": 1}, {"[noise]": "u1", "<unk>": "u1"})
    report_tags(texts, stands_for_words)
    logger.removeHandler(caplog.handler)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "removed 2 tags: [noise] 2 times, first in u1"),
        ("WARNING", "kept 1 tags of words that were spoken: <unk> 1 times, first in u1"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(F えー)これは(D こ)(D2 を)技術", "これは技術"),
        ("(W ギーツ;ギジュツ)です", "ギーツです"),
        ("(A シーディー;ＣＤ)を", "シーディーを"),
        ("(W a;b) c", "a c"),
        ("(? 技術,記述)の話と(? タオングー)", "技術の話とタオングー"),
        ("(W (D ア);ア)と(F (? えーと))", "アと"),
        ("(K た(F えー)ち;太刀)", "たち"),
        ("(A (W イーユ;イーユー);EU)の(M は)と(笑 そう(O オーケー))", "イーユのはとそうオーケー"),
    ],
)
def test_marks_of_csj_give_way_to_what_was_said(text, expected):
    """Fillers and fragments are sounds; of two forms the first was said; marks may be nested."""
    assert remove_tags(text) == remove_tags(text, stands_for_words) == expected


def test_what_is_not_in_a_mark_stays(caplog):
    assert remove_tags("(R ××)さん(?)", stands_for_words) == "(R ××)さん(?)"
    assert remove_tags("(R ××)さん(?)") == "さん"


def test_words_in_the_angle_brackets_of_chat_were_spoken():
    assert remove_tags("<the dog> [//] the cat <uh> [/] uh") == "the dog the cat uh"


def test_a_tag_before_a_slash():
    assert find_tags("{laugh} //aside//") == ["{laugh}"]


def test_commands_on_marks(tmp_path, logged):
    """They never become letters; words in other brackets are told; an ARPA file has no words with spaces."""
    (tmp_path / "text").write_text("a-1 (F えー)今日は(W ギーツ;ギジュツ)です\na-2 （真的）今日(?)\n", encoding="utf-8")
    arguments = ["--text", str(tmp_path / "text"), "--out"]
    normalise_text.main(["--language", "zh", *arguments, str(tmp_path / "n")])
    assert (tmp_path / "n").read_text(encoding="utf-8") == "a-1 今日はギーツです\na-2 真的今日(?)\n"
    assert "put words in the place of 1 tags: (W ギーツ;ギジュツ) 1 times, first in a-1" in logged
    assert any("1 transcripts have words in round brackets, which are kept as spoken" in line and "a-2: （真的）" in line for line in logged)
    make_tokens.main([*arguments, str(tmp_path / "tokens")])
    assert any("2 tags have spaces and become one token, the first is (F えー) in a-1" in line for line in logged)
    make_ngram.main(["--unit", "char", *arguments, str(tmp_path / "x.arpa")])
    assert "(F" not in (tmp_path / "x.arpa").read_text(encoding="utf-8")
    assert any("tags with spaces are left out, as (F えー)" in line for line in logged)
