"""Tags of common corpora, and what is no tag."""

import logging

import pytest

from asrlib.text.tags import count_tags, find_tags, is_tag, remove_tags, report_tags, split_tags, stands_for_words

SOUNDS = (
    *("<NOISE>", "<sil>", "<#s>", "<s>", "<sos/eos>", "<music/>", "<noise desc='door'/>", "<%>", "<->", "\uff1cNOISE\uff1e", "<噪音>"),
    *("[noise]", "[NOISE]", "[laughter]", "[ENS]", "[door_slam/]", "[/door_slam]", "[vocalized-noise]", "[background speech]", "\uff3bnoise\uff3d"),
    *("[笑声]", "{breath}", "{SMACK}", "{disfmarker}", "(uh)", "(UM)", "(noise)", "(%hesitation)", "（笑）", "+noise+", "++laugh++", "*cough*"),
    *("%hesitation", "%uh", "!SIL", "&=laughs"),
)
WORDS = ("<unk>", "<UNK>", "[inaudible]", "[[skip]]", "[redacted]", "[laughter-yes]", "[*]", "(())", "(( ))")


@pytest.mark.parametrize("tag", [*SOUNDS, *WORDS])
def test_a_tag_is_found_and_removed(tag):
    assert is_tag(tag)
    assert find_tags(f"well {tag} then") == [tag]
    assert remove_tags(f"well {tag} then") == "well then"
    assert stands_for_words(tag) == (tag in WORDS)


@pytest.mark.parametrize("text", ["[1]", "50 % of", "(really)", "（一）", "3 < 5 > 2", "5% off", "a + b + c", "R&B", "&", "{ a / b }", "{a / b}"])
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
