"""The commands make_tokens and normalise_text, and their checks."""

import logging

import pytest

from asrlib.bin.make_tokens import main as make_tokens
from asrlib.bin.normalise_text import main as normalise_text
from asrlib.text.tokenizers import CharTokenizer, SentencePieceTokenizer, WordTokenizer, load_tokenizer
from asrlib.text.vocabulary import check_texts, make_tokenizer
from asrlib.utils import disk_counter
from asrlib.utils.errors import UserError


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_text("a-1 THE OLD DOOR\na-2 OPEN THE DOOR\nb-1 THE RIVER IS COLD\n", encoding="utf-8")
    return path


@pytest.fixture
def log(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("asrlib"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


def test_labels_file_becomes_the_list(root, tmp_path, text):
    make_tokens(["--text", str(text), "--labels", str(root / "conf" / "labels_en.txt"), "--out", str(tmp_path / "dump" / "tokens.txt")])
    assert (tmp_path / "dump" / "tokens.txt").read_bytes() == (root / "conf" / "labels_en.txt").read_bytes()


@pytest.mark.parametrize(
    ("options", "kind", "tokens"),
    [
        ([], CharTokenizer, list("CDEHILNOPRSTV") + ["<space>", "<blank>"]),
        (["--type", "word"], WordTokenizer, ["COLD", "DOOR", "IS", "OLD", "OPEN", "RIVER", "THE", "<unk>", "<blank>"]),
        (["--type", "sentencepiece", "--nbpe", "20"], SentencePieceTokenizer, None),
    ],
)
def test_derived_lists(tmp_path, text, options, kind, tokens):
    out = tmp_path / "tokens.txt"
    make_tokens(["--text", str(text), "--check", f"{text} {text}", *options, "--out", str(out)])
    tokenizer = load_tokenizer(out)
    assert type(tokenizer) is kind
    assert tokens is None or tokenizer.tokens == tokens
    assert tokenizer.decode(tokenizer.encode("OPEN THE DOOR")) == "OPEN THE DOOR"


def test_mandarin_without_spaces_has_no_space():
    assert make_tokenizer("char", {"u1": "打开空调", "u2": "打开"}).tokens == ["开", "打", "空", "调", "<blank>"]


def test_labels_without_blank_get_it(tmp_path, text):
    (tmp_path / "labels").write_text("\n".join("CDEHILNOPRSTV") + "\n<space>\n")
    make_tokens(["--text", str(text), "--labels", str(tmp_path / "labels"), "--out", str(tmp_path / "tokens.txt")])
    assert load_tokenizer(tmp_path / "tokens.txt").blank == 14


def test_offending_characters_of_all_files_are_listed_and_nothing_is_written(root, tmp_path, text, log):
    dev = tmp_path / "dev"
    dev.write_text("c-1 CAFÉ É 3\nc-2 CAFÉ\n", encoding="utf-8")
    text.write_text(text.read_text() + "b-2 DON\u2019T\n", encoding="utf-8")
    out = tmp_path / "tokens.txt"
    with pytest.raises(UserError) as error:
        make_tokens(["--text", str(text), "--check", str(dev), "--labels", str(root / "conf" / "labels_en.txt"), "--out", str(out)])
    message = str(error.value)
    assert f"'É' (U+00C9) 3 times, first in c-1 ({dev}); '3' (U+0033) 1 times, first in c-1 ({dev}); " in message
    assert f"(U+2019) 1 times, first in b-2 ({text})" in message
    assert not out.exists()


def test_many_offending_characters_are_all_in_the_log(log):
    tokenizer = make_tokenizer("char", {"u": "A"})
    with pytest.raises(UserError, match="and 15 more: normalise the text"):
        check_texts(tokenizer, {"dev": {"v": "BCDEFGHIJKLMNOPQRSTU"}})
    assert sum("not in the label set" in line and "first in v (dev)" in line for line in log.messages) == 20


def test_unknown_words_are_counted(tmp_path, text, log):
    dev = tmp_path / "dev"
    dev.write_text("c-1 THE NEW DOOR\n")
    make_tokens(["--type", "word", "--text", str(text), "--check", str(dev), "--out", str(tmp_path / "tokens.txt")])
    assert f"{dev}: 1 of 3 words are not in the token list and become <unk>" in log.messages


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        ([], "A\nTHE\n", "line 2: 'THE' is longer than a character"),
        (["--type", "word"], "A\nB\n", "every label is a single character"),
        ([], "A\nA\n", "duplicate token 'A'"),
        (["--type", "sentencepiece", "--nbpe", "5"], None, "--nbpe 5 is too small: the text has 1[0-9] different characters"),
    ],
)
def test_faulty_labels_are_one_line(tmp_path, text, options, labels, message):
    if labels:
        (tmp_path / "labels").write_text(labels)
        options = [*options, "--labels", str(tmp_path / "labels")]
    with pytest.raises(UserError, match=message):
        make_tokens(["--text", str(text), *options, "--out", str(tmp_path / "tokens.txt")])
    assert not (tmp_path / "tokens.txt").exists()


def test_missing_labels_and_empty_texts_are_one_line(tmp_path, text):
    with pytest.raises(UserError, match="no such label file"):
        make_tokens(["--text", str(text), "--labels", str(tmp_path / "none"), "--out", str(tmp_path / "tokens.txt")])
    text.write_text("a-1\na-2\n")
    with pytest.raises(UserError, match="the transcripts contain no words"):
        make_tokens(["--text", str(text), "--out", str(tmp_path / "tokens.txt")])


def test_labels_with_sentencepiece_are_wrong_options(tmp_path, text):
    with pytest.raises(SystemExit, match="2"):
        make_tokens(["--type", "sentencepiece", "--labels", "x", "--text", str(text), "--out", str(tmp_path / "tokens.txt")])


def test_normalised_text_passes_the_check(root, tmp_path, log):
    path = tmp_path / "text"
    path.write_text("a-2 It\u2019s a caf\u00e9.\na-1 Hello, World!\na-3 ?!\n", encoding="utf-8")
    normalise_text(["--language", "en", "--text", str(path), "--out", str(path)])
    assert path.read_text(encoding="utf-8").splitlines() == ["a-1 HELLO WORLD", "a-2 IT'S A CAFE", "a-3 "]
    assert "1 transcripts are empty after normalisation, the first is a-3: '?!'" in log.messages
    make_tokens(["--text", str(path), "--labels", str(root / "conf" / "labels_en.txt"), "--out", str(tmp_path / "tokens.txt")])


TAGGED = """u1 the cat sat [noise] on the mat
u2 happy holidays [laughter]
u3 <NOISE> good <UNK> morning
u4 I (uh) said <unk> yes
u5 {breath} well <#s> then
"""
NO_SOUNDS = ["u1 THE CAT SAT ON THE MAT", "u2 HAPPY HOLIDAYS", "u3 GOOD <UNK> MORNING", "u4 I SAID <unk> YES", "u5 WELL THEN"]


def test_normalise_text_removes_sounds_and_tells_of_words_that_are_missing(tmp_path, logged):
    (tmp_path / "text").write_text(TAGGED)
    arguments = ["--language", "en", "--text", str(tmp_path / "text"), "--out", str(tmp_path / "out")]
    normalise_text(arguments)
    assert (tmp_path / "out").read_text().splitlines() == NO_SOUNDS
    assert "kept 2 tags of words that were spoken: <UNK> 1 times, first in u3, <unk> 1 times, first in u4" in "\n".join(logged)
    normalise_text([*arguments, "--remove_tags", "all"])
    assert (tmp_path / "out").read_text().splitlines() == [line.replace(" <UNK>", "").replace(" <unk>", "") for line in NO_SOUNDS]
    normalise_text([*arguments, "--remove_tags", "none"])
    assert "u1 THE CAT SAT [noise] ON THE MAT\n" in (tmp_path / "out").read_text()


def test_normalise_text_reports_numbers_or_reads_them(tmp_path, logged):
    (tmp_path / "text").write_text("u1 it is 6.42 or 1/5\nu2 on 2002-01-28\n")
    arguments = ["--language", "en", "--text", str(tmp_path / "text"), "--out", str(tmp_path / "out")]
    normalise_text(arguments)
    assert (tmp_path / "out").read_text() == "u1 IT IS 6.42 OR 1/5\nu2 ON 2002-01-28\n"
    assert "2 transcripts have digits or signs that are read aloud: write them as words; the first is u1" in logged[-1]
    normalise_text([*arguments, "--spoken", "true"])
    assert (tmp_path / "out").read_text() == "u1 IT IS SIX POINT FOUR TWO OR ONE FIFTH\nu2 ON 2002-01-28\n"
    assert "1 transcripts have digits or signs" in logged[-1]
    with pytest.raises(SystemExit):
        normalise_text([*arguments, "--language", "zh", "--spoken", "true"])


def test_make_tokens_has_one_token_for_a_tag(tmp_path):
    (tmp_path / "text").write_text(TAGGED)
    make_tokens(["--text", str(tmp_path / "text"), "--out", str(tmp_path / "tokens.txt")])
    tokens = (tmp_path / "tokens.txt").read_text().splitlines()
    assert tokens[:8] == ["(uh)", "<#s>", "<NOISE>", "<UNK>", "<unk>", "[laughter]", "[noise]", "{breath}"]
    assert set(tokens).isdisjoint("<>[]{}()#NOSU")


def test_sentencepiece_learns_from_a_sample(logged):
    """The log tells it; characters and tags that are not in the sample are pieces; a text with no more sentences has the pieces of all."""
    texts = {f"u{number}": f"WORD{number % 7} AND SO ON" for number in range(300)} | {"rare": "Ж <noise> 今"}
    whole = make_tokenizer("sentencepiece", texts, 60)
    assert logged == [] and not whole.unknown(texts["rare"])
    assert make_tokenizer("sentencepiece", texts, 60, sentences=301).model == whole.model and logged == []
    found = make_tokenizer("sentencepiece", texts, 60, sentences=50)
    assert logged == ["SentencePiece learns from 50 of 301 sentences, drawn at random (--sentences), and has all characters of the others, too"]
    assert {"Ж", "今", "<noise>"} <= set(found.tokens) and not any(map(found.unknown, texts.values()))
    assert found.model == make_tokenizer("sentencepiece", texts, 60, sentences=50).model != whole.model


def test_words_beyond_the_memory(monkeypatch):
    monkeypatch.setattr(disk_counter, "KEYS", 5)
    texts = {str(number): f"w{number * 7 % 50} <unk> b w{number % 9} <s>" for number in range(200)}
    expected = sorted({word for text in texts.values() for word in text.split()} - {"<unk>", "<s>"})
    assert make_tokenizer("word", texts).tokens == [*expected, "<unk>", "<blank>"]
