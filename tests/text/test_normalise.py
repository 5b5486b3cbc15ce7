"""Normalisation of transcripts, also against the real corpora whose conventions it follows."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.text.normalise import normalise_en, normalise_zh, unspelled
from asrlib.text.tags import find_tags

steady = settings(derandomize=True, deadline=None, max_examples=500)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world!", "HELLO WORLD"),
        ("It\u2019s a well-known caf\u00e9", "IT'S A WELL KNOWN CAFE"),
        ("cafe\u0301 na\u00efve", "CAFE NAIVE"),
        ("the boys' \u2018quoted\u2019 word \u2014 'tis", "THE BOYS' QUOTED WORD 'TIS"),
        ("rock ' n ' roll ''so''", "ROCK N ROLL SO"),
        ("\uff26\uff55\uff4c\uff4c \ufb01ne\u00a0text", "FULL FINE TEXT"),
        ("zero\u200bwidth so\u00adft", "ZEROWIDTH SOFT"),
        ("stra\u00dfe", "STRASSE"),
        ("...", ""),
    ],
)
def test_english(text, expected):
    assert normalise_en(text) == expected


@pytest.mark.parametrize("text", ["R&B 50%", "$5", "ΑΒ", "ЙОД", "ŁÓDŹ", "<NOISE>", "你好"])
def test_what_is_pronounced_stays_to_be_reported(text):
    letters = set(unicodedata.normalize("NFKC", normalise_en(text)))
    assert letters - set("ABCDEFGHIJKLMNOPQRSTUVWXYZ' ")
    assert len(normalise_en(text).replace(" ", "")) == len(text.replace(" ", ""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6.42 or .5, 1,000 and 1.000,5", "6.42 OR .5 1,000 AND 1.000,5"),
        ("at 10:30 on 2002-01-28 or 1/2/2003", "AT 10:30 ON 2002-01-28 OR 1/2/2003"),
        ("50-60, 50 - 60 and 50%-60%", "50-60 50 - 60 AND 50%-60%"),
        ("-10, \u221210, \uff0d10 and -$5", "-10 \u221210 -10 AND -$5"),
        ("\uff11\uff0f\uff12 of \uff13\uff0e\uff15%", "1/2 OF 3.5%"),
        ("5\u00b2, 1\u00bd, m\u00b2 and 50\u33a1", "5\u00b2 1\u00bd M\u00b2 AND 50\u33a1"),
        ("5km, MP3, 4G, A4, G20, \u2460", "5KM MP3 4G A4 G20 1"),
        ("3.5% in 1984. 20 men ...5 boys", "3.5% IN 1984 20 MEN 5 BOYS"),
        ("a 5-year plan, 24/7", "A 5 YEAR PLAN 24/7"),
        ("$5, \u20ac5 and \uffe55", "$5 \u20ac5 AND \xa55"),
    ],
)
def test_a_number_stays_the_number(text, expected):
    assert normalise_en(text) == expected
    assert unspelled(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("苹果ＣＥＯ宣布", "苹果CEO宣布"),
        ("共计６．４２万人", "共计6.42万人"),
        ("大约1/5以上，2002-01-28开始", "大约1/5以上2002-01-28开始"),
        ("5:02到8：00", "5:02到8:00"),
        ("A股上涨3.5%，气温－10度", "A股上涨3.5%气温-10度"),
        ("比分3-2，1,000元，3·15", "比分3-2,1,000元3·15"),
        ("房间 12 34 号", "房间12 34号"),
        ("从 3% 5% 到 10 -5 度", "从3% 5%到10 -5度"),
        ("第2章。3个人", "第2章3个人"),
        ("用 Python 和 machine learning 写", "用PYTHON和MACHINE LEARNING写"),
        ("iPhone 15，iPad", "IPHONE 15 IPAD"),
        ("e-mail、Wi-Fi", "E MAIL WI FI"),
        ("他说 don\u2019t，it\uff07s o\u02bcclock", "他说DON'T IT'S O'CLOCK"),
        ("说‘machine learning’和'好'", "说MACHINE LEARNING和好"),
    ],
)
def test_numbers_and_english_words_in_mandarin(text, expected):
    assert normalise_zh(text) == expected


@pytest.mark.parametrize("normalise", [normalise_en, normalise_zh])
def test_tags_stay_one_word(normalise):
    tags = ["<NOISE>", "[laughter]", "{breath}", "(uh)", "<#s>", "<unk>", "%hesitation"]
    assert find_tags(normalise(" one ".join(["", *tags, ""]))) == tags


def test_alternatives_stay_to_be_reported():
    assert normalise_en("{ cannot / can not } go {ok/fine}") == "{ CANNOT / CAN NOT } GO { OK / FINE }"


@pytest.mark.parametrize("text", ["हिन्दी में", "한국어", "Tiếng Việt"])
def test_vowel_signs_of_other_scripts_stay(text):
    wanted = unicodedata.normalize("NFC", text.upper())
    assert normalise_zh(text).replace(" ", "") == wanted.replace(" ", "")
    assert normalise_zh(unicodedata.normalize("NFD", text)) == normalise_zh(text)


def test_kept_punctuation_stays():
    assert normalise_en("Hello, world! (really)", keep=",!") == "HELLO, WORLD! REALLY"
    assert normalise_zh("你好，世界。", keep=",") == "你好,世界"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好， 世界！", "你好世界"),
        ("设定 二十九 度。", "设定二十九度"),
        ("ｉＰｈｏｎｅ　手机", "IPHONE手机"),
        ("《列夫·托尔斯泰》（一）", "列夫托尔斯泰一"),
        ("百分之５０％", "百分之50%"),
        ("“好”、‘坏’——……", "好坏"),
    ],
)
def test_mandarin(text, expected):
    assert normalise_zh(text) == expected


@steady
@given(text=anything)
def test_english_twice_is_once(text):
    once = normalise_en(text)
    assert normalise_en(once) == once
    assert once == " ".join(once.split())


@steady
@given(text=anything)
def test_mandarin_twice_is_once(text):
    once = normalise_zh(text)
    assert normalise_zh(once) == once
    assert not re.search(r"[一-鿿]\s|\s[一-鿿]", once)


@steady
@given(text=anything)
def test_letters_and_digits_are_never_lost(text):
    def spoken(text):
        return sum(unicodedata.category(c)[0] in "LN" for c in unicodedata.normalize("NFKC", text))

    assert spoken(normalise_zh(text)) >= spoken(text)
    assert spoken(normalise_en(text)) >= spoken(text) - sum(c in "ʼ" for c in unicodedata.normalize("NFKC", text))


def test_transcripts_of_librispeech_are_left_as_they_are(shared):
    for path in sorted((shared / "speech" / "librispeech_text").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = line.split(maxsplit=1)[1]
            assert normalise_en(text) == text
            assert normalise_en(text.lower().replace("'", "\u2019") + ".") == text


def test_transcripts_of_aishell_change_in_case_and_brackets_alone(shared):
    for path in (shared / "speech" / "aishell1").rglob("*transcript*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = "".join(line.split()[1:])
            assert normalise_zh(re.sub("([^A-Za-z])", r"，\1，", text) + "。") == re.sub("[()（）]", "", text.upper())


def test_seconds_are_no_apostrophes():
    assert normalise_zh("５′３″") == "5'3″" and normalise_en("5'10″") == "5'10″"
