"""Tokenizers: round trips, errors, files."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.text.tags import find_tags, is_tag
from asrlib.text.tokenizers import BLANK, SPACE, UNKNOWN, CharTokenizer, SentencePieceTokenizer, WordTokenizer, load_tokenizer, read_labels
from asrlib.text.vocabulary import char_tokens, make_tokenizer, train_sentencepiece, word_tokens
from asrlib.utils.errors import UserError

steady = settings(derandomize=True, deadline=None, max_examples=200)
ENGLISH = ["THE OLD TEACHER DIDN'T OPEN THE DOOR", "SEVEN LETTERS ARE ON THE TABLE", "THE TEACHER OPENED SEVEN LETTERS", "WE CARRIED THE TABLE"] * 5
CHINESE = ["设定二十九度", "调高温度到三十一度", "打开空调", "今天天气怎么样"] * 5
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda text: not find_tags(text))
TAGGED = ["HELLO [noise] WORLD", "<NOISE> GOOD <unk> MORNING", "<unk> (uh) YES"] * 5


@pytest.fixture(scope="module")
def labels(root) -> CharTokenizer:
    return load_tokenizer(root / "conf" / "labels_en.txt")


@pytest.fixture(scope="module")
def pieces() -> SentencePieceTokenizer:
    return train_sentencepiece(ENGLISH, 60)


def spaced(text: str) -> str:
    return " ".join(text.split())


def test_english_labels_have_the_order_of_deepspeech2(labels):
    assert labels.tokens == list("'ABCDEFGHIJKLMNOPQRSTUVWXYZ") + ["<space>", "<blank>"]
    assert (len(labels.tokens), labels.blank) == (29, 28)
    assert labels.encode("DON'T  ZIP A") == [4, 15, 14, 0, 20, 27, 26, 9, 16, 27, 1]


@steady
@given(text=st.text("ABCXYZ' \t", max_size=40))
def test_english_round_trip(labels, text):
    ids = labels.encode(text)
    assert all(0 <= i < labels.blank for i in ids)
    assert labels.decode(ids) == spaced(text)


@steady
@given(texts=st.lists(anything, min_size=1, max_size=4))
def test_any_script_round_trips_through_its_own_characters(texts):
    tokenizer = CharTokenizer(char_tokens(texts))
    for text in texts:
        ids = tokenizer.encode(text)
        assert len(ids) == len(spaced(text))
        assert tokenizer.blank not in ids
        assert tokenizer.decode(ids) == spaced(text)


@steady
@given(texts=st.lists(anything, min_size=1, max_size=4))
def test_words_round_trip(texts):
    tokenizer = WordTokenizer(word_tokens(texts))
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == spaced(text)


@steady
@given(text=st.text(sorted(set("".join(ENGLISH))), max_size=60))
def test_pieces_round_trip_for_any_text_of_their_characters(pieces, text):
    ids = pieces.encode(text)
    assert pieces.ids[UNKNOWN] not in ids
    assert pieces.decode(ids) == spaced(text)


def test_pieces_of_mandarin_round_trip():
    tokenizer = train_sentencepiece(CHINESE, 40)
    for text in CHINESE:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_pieces_are_longer_than_characters_and_the_same_each_time(pieces):
    assert len(pieces.encode(ENGLISH[0])) < len(ENGLISH[0])
    assert train_sentencepiece(ENGLISH, 60).model == pieces.model
    assert len(pieces.tokens) <= 61


def test_pieces_do_not_rewrite_the_text():
    text = "ＡＢＣ ﬁne １２"  # SentencePiece's own normalisation would narrow these
    tokenizer = train_sentencepiece([text] * 3, 50)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_unknown_characters_are_named_with_code_points_and_the_utterance(labels, pieces):
    for tokenizer in (labels, pieces):
        with pytest.raises(UserError) as error:
            tokenizer.encode("CAFÉ DON\u2019T", "utterance spk1-7")
        assert str(error.value).startswith("utterance spk1-7: not in the label set: ")
        assert "'É' (U+00C9)" in str(error.value)
        assert "(U+2019)" in str(error.value)
        assert "normalise_text" in str(error.value)
        assert "\n" not in str(error.value)


def test_mark_of_word_boundaries_is_no_text(pieces):
    with pytest.raises(UserError, match=r"U\+2581"):
        pieces.encode("THE\u2581OLD")


def test_words_outside_the_list_are_unk_or_refused():
    tokens = ["HELLO", "WORLD", UNKNOWN, BLANK]
    assert WordTokenizer(tokens).encode("HELLO THERE WORLD") == [0, 2, 1]
    with pytest.raises(UserError, match="utt1.*'THERE'"):
        WordTokenizer(["HELLO", "WORLD", BLANK]).encode("HELLO THERE WORLD", "utt1")
    with pytest.raises(UserError, match="<blank>"):
        WordTokenizer(tokens).encode("HELLO <blank>")


@pytest.mark.parametrize("kind", ["char", "word", "sentencepiece"])
def test_a_tag_is_one_token(kind, tmp_path):
    tokenizer = make_tokenizer(kind, dict(enumerate(TAGGED)), 30)
    tokenizer.save(tmp_path / "tokens.txt")
    tokenizer = load_tokenizer(tmp_path / "tokens.txt")
    for text in TAGGED:
        tokens = [tokenizer.tokens[i] for i in tokenizer.encode(text)]
        assert [token for token in tokens if is_tag(token) and token != SPACE] == find_tags(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_tags_without_spaces_are_one_token():
    tokenizer = CharTokenizer(char_tokens(["<NOISE>今天[笑声]"]))
    assert tokenizer.tokens == ["<NOISE>", "[笑声]", "今", "天", BLANK]
    assert tokenizer.encode("<NOISE>今天[笑声]") == [0, 2, 3, 1]


@pytest.mark.parametrize("symbol", [BLANK, SPACE, "<s>", "</s>", "<sos/eos>"])
@pytest.mark.parametrize("kind", ["char", "word", "sentencepiece"])
def test_reserved_symbols_in_a_transcript_are_named(kind, symbol):
    tokenizer = make_tokenizer(kind, {"u": f"A B {symbol}"}, 20)
    assert kind == "sentencepiece" or tokenizer.tokens.count(symbol) == (symbol in (BLANK, SPACE if kind == "char" else BLANK))
    with pytest.raises(UserError, match=f"u1: .*'{symbol}' \\(reserved: remove it\\)"):
        tokenizer.encode(f"A B {symbol}", "u1")


def test_empty_text_has_no_labels(labels, pieces):
    for tokenizer in (labels, pieces, WordTokenizer(["A", UNKNOWN, BLANK])):
        assert tokenizer.encode(" ") == []
        assert tokenizer.decode([]) == ""


def test_decode_leaves_blanks_out_and_trims_spaces(labels):
    assert labels.decode([28, 27, 1, 28, 27, 27, 2, 27]) == "A B"


@pytest.mark.parametrize(
    "make",
    [
        lambda: CharTokenizer(char_tokens(ENGLISH)),
        lambda: CharTokenizer(char_tokens(CHINESE)),
        lambda: WordTokenizer(word_tokens(ENGLISH)),
        lambda: WordTokenizer(word_tokens(["1 2 3"])),  # words of one character
        lambda: train_sentencepiece(ENGLISH, 50),
    ],
)
def test_saved_and_loaded_again_it_is_the_same(tmp_path, make):
    tokenizer = make()
    tokenizer.save(tmp_path / "tokens.txt")
    loaded = load_tokenizer(tmp_path / "tokens.txt")
    assert type(loaded) is type(tokenizer)
    assert loaded.tokens == tokenizer.tokens
    text = "1 3 2" if "1" in tokenizer.tokens else CHINESE[0] if "度" in tokenizer.tokens else ENGLISH[0]
    assert loaded.encode(text) == tokenizer.encode(text)
    assert (tmp_path / "tokens.txt").read_text(encoding="utf-8").splitlines()[-1] == BLANK


def test_saved_over_an_older_model_characters_stay_characters(tmp_path, pieces):
    pieces.save(tmp_path / "tokens.txt")
    CharTokenizer(char_tokens(ENGLISH)).save(tmp_path / "tokens.txt")
    assert type(load_tokenizer(tmp_path / "tokens.txt")) is CharTokenizer


def test_model_of_another_list_and_broken_model_are_refused(tmp_path, pieces):
    pieces.save(tmp_path / "tokens.txt")
    (tmp_path / "tokens.txt").write_text(f"A\n{BLANK}\n")
    with pytest.raises(UserError, match=r"the tokens are not the pieces of .*tokens\.model"):
        load_tokenizer(tmp_path / "tokens.txt")
    (tmp_path / "tokens.model").write_bytes(pieces.model[:100])
    with pytest.raises(UserError, match="not a SentencePiece model"):
        load_tokenizer(tmp_path / "tokens.txt")


def test_label_files_with_bom_and_crlf_are_read(tmp_path):
    (tmp_path / "labels.txt").write_bytes("\ufeffA\r\nB\r\n<space>\r\n<blank>\r\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ["A", "B", SPACE, BLANK]
    assert load_tokenizer(tmp_path / "labels.txt").encode("B A") == [1, 2, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A\n\nB\n<blank>\n", "line 2: empty"),
        (b"A\n \nB\n<blank>\n", "line 2: white space in ' '"),
        (b"A\nB C\n<blank>\n", "line 2: white space in 'B C'"),
        (b"\xc4\n<blank>\n", "not UTF-8"),
        (b"A\nB\nA\n<blank>\n", r"duplicate token 'A' \(U\+0041\)"),
        (b"A\nB\n", "no <blank>"),
        (b"", "no <blank>"),
    ],
)
def test_faulty_lists_are_one_line_with_the_file(tmp_path, content, message):
    path = tmp_path / "tokens.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        load_tokenizer(path)
    assert str(error.value).startswith(str(path))


def test_missing_list_names_the_stage(tmp_path):
    with pytest.raises(UserError, match="run stage 2"):
        load_tokenizer(Path(tmp_path / "tokens.txt"))
