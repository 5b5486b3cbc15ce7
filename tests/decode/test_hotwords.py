"""Hot words: the bonus of every hypothesis against its definition, in searches over characters, pieces, words and words of a language model."""

import numpy as np
import pytest

from asrlib.decode.beam import NEVER, BeamConfig, BeamDecoder
from asrlib.decode.greedy import tokens_to_text
from asrlib.decode.ngram import estimate, write_arpa
from asrlib.utils.decoding import read_hotwords
from asrlib.utils.errors import UserError
from tests.decode.test_beam import BLANK, TOKENS, WIDE

PHRASES = [("A",), ("AB", "BA"), ("AB", "AB A", "B A"), ("BB A", "B")]


def bonus(text, phrases, weight):
    """By the definition: the longest hot word at each begin of a word."""
    total, words = 0.0, text.split()
    for begin in range(len(words)):
        found = [phrase for phrase in phrases if words[begin : begin + len(phrase.split())] == phrase.split()]
        total += weight * max(map(len, found), default=0)
    return total


def scores(decoder, log_probs):
    return {h.text: h.score for h in decoder.decode(log_probs) if h.score > NEVER / 2}


@pytest.mark.parametrize("phrases", PHRASES)
@pytest.mark.parametrize("seed", range(3))
def test_the_bonus_of_every_hypothesis(emissions, ctc_sums, phrases, seed):
    """Over characters. Labellings that differ in spaces alone have one text, whose best score is reported."""
    log_probs, expected = emissions(6, 4, seed), {}
    for labels, score in ctc_sums(log_probs, BLANK).items():
        text = tokens_to_text(labels, TOKENS)
        expected[text] = max(expected.get(text, -np.inf), score + bonus(text, phrases, 0.8))
    found = scores(BeamDecoder(TOKENS, BLANK, BeamConfig(hotwords=phrases, hotword_weight=0.8, **WIDE)), log_probs)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("unit", ["word", "token"])
def test_with_a_language_model(emissions, tmp_path, unit):
    """The scores without hot words and the bonus, whatever the weight of the language model."""
    lm = tmp_path / "lm.arpa"
    sentences = [["A", "AB"], ["AB", "B"], ["BA"]] if unit == "word" else [["A", "B"], ["A", "<space>", "B"], ["B", "A"]]
    write_arpa(estimate(sentences, 2), lm)
    config = {"lm": str(lm), "lm_unit": unit, "alpha": 0.6, "beta": 0.4} | WIDE
    log_probs = emissions(6, 4, 5)
    plain = scores(BeamDecoder(TOKENS, BLANK, BeamConfig(**config)), log_probs)
    found = scores(BeamDecoder(TOKENS, BLANK, BeamConfig(hotwords=("AB", "A AB"), hotword_weight=0.7, **config)), log_probs)
    assert found == pytest.approx({text: score + bonus(text, ("AB", "A AB"), 0.7) for text, score in plain.items()}, abs=1e-4)
    same = BeamDecoder(TOKENS, BLANK, BeamConfig(hotwords=("AB", "AAB"), hotword_weight=0.0, **config)).decode(log_probs)
    assert same == BeamDecoder(TOKENS, BLANK, BeamConfig(**config)).decode(log_probs), "a weight of 0 changes nothing"


def test_a_rare_word_is_recognised(tmp_path):
    """It sounds a little less like the audio than a common word, and the language model does not know it."""
    lm = tmp_path / "lm.arpa"
    write_arpa(estimate([["AB", "B"], ["AB"], ["A", "AB"]], 2), lm)
    log_probs = np.log(np.array([[0.01, 0.96, 0.02, 0.01], [0.01, 0.01, 0.02, 0.96], [0.01, 0.43, 0.55, 0.01]]))
    for config in ({}, {"lm": str(lm), "alpha": 0.5}):
        texts = [
            BeamDecoder(TOKENS, BLANK, BeamConfig(hotwords=("AA",), hotword_weight=weight, **config)).decode(log_probs)[0].text
            for weight in (0.0, 5.0)
        ]
        assert texts == ["AB", "AA"]


@pytest.mark.parametrize(
    ("tokens", "separator", "hot", "path", "text"),
    [
        (["<blank>", "天", "气", "汽", "今"], "", "天汽", [4, 1, 2], "今天汽"),  # anywhere, because there are no spaces
        (["<blank>", "\u2581GO", "ING", "\u2581G", "O", "IN"], "", "GOIN", [1, 2], "GOIN"),  # spelled by any pieces
        (["<blank>", "ONE", "TOO", "TWO"], " ", "ONE TWO", [1, 2], "ONE TWO"),
    ],
)
def test_characters_pieces_and_words(tokens, separator, hot, path, text):
    """The hot word's last token is the second best in the last frame."""
    probabilities = np.full((len(path), len(tokens)), 0.01)
    probabilities[np.arange(len(path)), path] = 0.9
    probabilities[-1, tokens.index({"今天汽": "汽", "GOIN": "IN", "ONE TWO": "TWO"}[text])] = 0.5
    log_probs = np.log(probabilities / probabilities.sum(-1, keepdims=True))
    plain = BeamDecoder(tokens, 0, BeamConfig(), separator).decode(log_probs)[0].text
    assert plain == tokens_to_text(path, tokens, separator) != text
    assert BeamDecoder(tokens, 0, BeamConfig(hotwords=(hot,), hotword_weight=1.0), separator).decode(log_probs)[0].text == text


def test_hot_words_that_cannot_be_spelled():
    with pytest.raises(UserError, match="hot word 'aB': the tokens have no 'a'.*case"):
        BeamDecoder(TOKENS, BLANK, BeamConfig(hotwords=("aB",)))
    with pytest.raises(ValueError, match="hotword_weight"):
        BeamConfig(hotword_weight=-1.0)


def test_files_and_lists(tmp_path):
    (tmp_path / "words.txt").write_text("NEW  YORK\n\n 天气 \nNEW YORK\n", encoding="utf-8")
    assert read_hotwords(str(tmp_path / "words.txt")) == ("NEW YORK", "天气")
    assert read_hotwords("AB, A B,") == ("AB", "A B")
    with pytest.raises(UserError, match="no hot words"):
        read_hotwords(" , ")
