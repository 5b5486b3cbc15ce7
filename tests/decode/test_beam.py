"""Beam search against exhaustive sums over alignments."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.decode.beam import NEVER, BeamConfig, BeamDecoder
from asrlib.decode.greedy import tokens_to_text
from asrlib.decode.lm import load_kenlm, sentence_score, vocabulary
from asrlib.decode.ngram import estimate, write_arpa
from asrlib.utils.errors import UserError

TOKENS = ["<space>", "A", "B", "<blank>"]
BLANK = 3
WIDE = {"beam_size": 5000, "beam_threshold": 1e4, "nbest": 500}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "words.arpa"
    write_arpa(estimate([["A", "AB"], ["AB", "B"], ["BA"], ["A", "BA", "A"], ["AAB"]], 2), path)
    return str(path)


@pytest.fixture(scope="module")
def characters(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "characters.arpa"
    write_arpa(estimate([["A", "B"], ["A", "<space>", "B"], ["B", "A"]], 3), path)
    return str(path)


def by_text(scores, combine):
    """{text: score} from {labels: score}; labellings that differ only in spaces give the same text."""
    found = {}
    for labels, score in scores.items():
        text = tokens_to_text(labels, TOKENS)
        found[text] = combine(found.get(text, -np.inf), score)
    return found


def check(decoder, log_probs, expected):
    """The decoder finds every text of `expected`, with its score, best first."""
    found = [h for h in decoder.decode(log_probs) if h.score > NEVER / 2]
    assert {h.text: h.score for h in found} == pytest.approx(expected, abs=1e-4)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_without_a_language_model_the_score_is_the_sum_over_alignments(emissions, ctc_sums, seed):
    log_probs = emissions(6, 4, seed)
    check(BeamDecoder(TOKENS, BLANK, BeamConfig(**WIDE)), log_probs, by_text(ctc_sums(log_probs, BLANK), max))


@pytest.mark.parametrize("seed", range(5))
def test_word_model(emissions, ctc_sums, words, seed):
    """ln P_CTC + alpha ln P_LM + beta words, for every sequence of known words; alignments with more or fewer spaces add up."""
    log_probs, alpha, beta = emissions(6, 4, seed), 0.7, 0.9
    known = vocabulary(words)
    lm = load_kenlm(words, known)
    expected = {
        text: score + alpha * sentence_score(lm, [known.index(w) for w in text.split()]) + beta * len(text.split())
        for text, score in by_text(ctc_sums(log_probs, BLANK), np.logaddexp).items()
        if set(known).issuperset(text.split())
    }
    check(BeamDecoder(TOKENS, BLANK, BeamConfig(lm=words, alpha=alpha, beta=beta, **WIDE)), log_probs, expected)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_token_model(emissions, ctc_sums, characters, beta):
    log_probs, alpha = emissions(6, 4, 7), 0.7
    lm = load_kenlm(characters, TOKENS)
    fused = {y: s + alpha * sentence_score(lm, y) + beta * len(y) for y, s in ctc_sums(log_probs, BLANK).items()}
    config = BeamConfig(lm=characters, lm_unit="token", alpha=alpha, beta=beta, **WIDE)
    check(BeamDecoder(TOKENS, BLANK, config), log_probs, by_text(fused, max))


def test_the_language_model_changes_the_result_as_computed_by_hand(tmp_path):
    """Acoustic P(A) = 0.6, P(B) = 0.4; model 0.1 and 0.9, with a certain sentence end: A wins below alpha = 0.18, B above."""
    lm = tmp_path / "lm.arpa"
    lm.write_text(
        "\\data\\\nngram 1=5\nngram 2=1\n\n\\1-grams:\n-99\t<s>\n0\t</s>\n-9\t<unk>\n-1\tA\n-0.045757\tB\n\n\\2-grams:\n0\tA </s>\n\n\\end\\\n"
    )
    log_probs = np.log([[1e-9, 0.6, 0.4, 1e-9]])
    turn = np.log(0.6 / 0.4) / np.log(0.9 / 0.1)
    for unit in ("word", "token"):
        for alpha, text, sound, prior in ((turn - 0.01, "A", 0.6, 0.1), (turn + 0.01, "B", 0.4, 0.9)):
            best = BeamDecoder(TOKENS, BLANK, BeamConfig(lm=str(lm), lm_unit=unit, alpha=alpha, beta=0.5)).decode(log_probs)[0]
            assert best.text == text
            assert best.score == pytest.approx(np.log(sound) + alpha * np.log(prior) + 0.5, abs=1e-4)


@pytest.mark.parametrize(("beta", "text"), [(0.0, "AB"), (5.0, "A B")])
def test_a_high_beta_splits_words(tmp_path, beta, text):
    lm = tmp_path / "lm.arpa"
    write_arpa(estimate([["A"], ["B"], ["AB"]], 2), lm)
    log_probs = np.log([[0.01, 0.97, 0.01, 0.01], [0.3, 0.01, 0.01, 0.68], [0.01, 0.01, 0.97, 0.01]])
    assert BeamDecoder(TOKENS, BLANK, BeamConfig(lm=str(lm), alpha=0.5, beta=beta)).decode(log_probs)[0].text == text


def test_mandarin(tmp_path):
    tokens = ["<blank>", "天", "今", "气", "汽"]
    lm = tmp_path / "lm.arpa"
    write_arpa(estimate([list("今天天气"), list("天气"), list("汽")], 3), lm)
    frames = [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0.45, 0.55]]
    log_probs = np.log(np.array(frames) * 0.96 + 0.01)
    assert BeamDecoder(tokens, 0, BeamConfig()).decode(log_probs)[0].text == "今天天汽"
    assert BeamDecoder(tokens, 0, BeamConfig(lm=str(lm))).decode(log_probs)[0].text == "今天天气"


def test_tokens_that_are_words(tmp_path):
    tokens = ["ONE", "TWO", "<blank>"]
    log_probs = np.log(np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]]) * 0.97 + 0.01)
    lm = tmp_path / "lm.arpa"
    write_arpa(estimate([["ONE", "TWO"]], 2), lm)
    for config in (BeamConfig(), BeamConfig(lm=str(lm))):
        assert BeamDecoder(tokens, 2, config, separator=" ").decode(log_probs)[0].text == "ONE TWO"


@pytest.mark.parametrize("with_lm", [False, True])
def test_blanks_alone_and_no_frame_give_the_empty_text(words, with_lm):
    decoder = BeamDecoder(TOKENS, BLANK, BeamConfig(lm=words if with_lm else ""))
    certain = np.full((5, 4), -np.inf)
    certain[:, BLANK] = 0.0
    assert decoder.decode(certain)[0].text == ""
    assert [h.text for h in decoder.decode(np.zeros((0, 4)))] == [""]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.floats(0.5, 1.0), st.integers(1, 20))
def test_clear_output_is_read_as_by_the_greedy_search(path, mass, beam_size):
    log_probs = np.log(np.eye(4)[path] * 0.996 + 0.001)
    labels = [k for k, last in zip(path, [None, *path], strict=False) if k not in (last, BLANK)]
    config = BeamConfig(cutoff_prob=mass, beam_size=beam_size)
    assert BeamDecoder(TOKENS, BLANK, config).decode(log_probs)[0].text == tokens_to_text(labels, TOKENS)


def test_cutoffs_take_improbable_tokens_away(emissions):
    log_probs = np.log([[0.02, 0.55, 0.40, 0.03]])
    texts = [
        {h.text for h in BeamDecoder(TOKENS, BLANK, BeamConfig(nbest=9, **cut)).decode(log_probs)}
        for cut in ({}, {"cutoff_prob": 0.9}, {"cutoff_top_n": 1})
    ]
    assert texts == [{"A", "B", ""}, {"A", "B"}, {"A"}]


def test_nbest_is_distinct_and_sorted(emissions):
    found = BeamDecoder(TOKENS, BLANK, BeamConfig(nbest=5)).decode(emissions(8, 4, 3))
    assert len({h.text for h in found}) == 5
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_words_that_cannot_be_spelled_are_told(tmp_path):
    lm = tmp_path / "lm.arpa"
    logger, messages = logging.getLogger("asrlib.decode.beam"), []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger.addHandler(handler)
    write_arpa(estimate([["A", "CAB"]], 2), lm)
    BeamDecoder(TOKENS, BLANK, BeamConfig(lm=str(lm)))
    logger.removeHandler(handler)
    assert messages == [f"{lm}: 1 of 2 words are ignored, because the tokens cannot spell them"]
    write_arpa(estimate([["a", "b"]], 2), lm)
    with pytest.raises(UserError, match=r"none of its 2 words can be spelled with the tokens.*case\?"):
        BeamDecoder(TOKENS, BLANK, BeamConfig(lm=str(lm)))
    with pytest.raises(UserError, match="none of its units is a token: if it is a word model, set lm_unit to word"):
        BeamDecoder(["天", "<blank>"], 1, BeamConfig(lm=str(lm)))
    with pytest.raises(UserError, match="needs the token <space>"):
        BeamDecoder(["a", "<blank>"], 1, BeamConfig(lm=str(lm), lm_unit="word"))


def test_a_lexicon_limits_the_words(words, tmp_path, emissions):
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("AB A B\n\nB\n")
    found = BeamDecoder(TOKENS, BLANK, BeamConfig(lm=words, lexicon=str(lexicon), **WIDE)).decode(emissions(6, 4))
    assert {w for h in found if h.score > NEVER / 2 for w in h.text.split()} == {"AB", "B"}
    with pytest.raises(UserError, match="no such lexicon"):
        BeamDecoder(TOKENS, BLANK, BeamConfig(lm=words, lexicon=str(tmp_path / "none")))


def test_outputs_that_are_not_numbers():
    with pytest.raises(UserError, match="not numbers"):
        BeamDecoder(TOKENS, BLANK, BeamConfig()).decode(np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match=r"shape \(2, 5\) for 4 tokens"):
        BeamDecoder(TOKENS, BLANK, BeamConfig()).decode(np.zeros((2, 5)))


@pytest.mark.parametrize(
    "wrong", [{"beam_size": 0}, {"cutoff_prob": 0.0}, {"cutoff_prob": 1.1}, {"alpha": 0.0}, {"nbest": 0}, {"beam_threshold": 0.0}]
)
def test_options_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BeamConfig(**wrong)


def test_a_tag_is_a_word_of_one_token(tmp_path):
    tokens, lm = ["<blank>", "[noise]", "A", "<space>"], tmp_path / "lm.arpa"
    write_arpa(estimate([["A", "[noise]"], ["[noise]", "A"], ["A"]], 2), lm)
    log_probs = np.log(np.eye(4)[[2, 3, 1, 0]] * 0.96 + 0.01)
    assert BeamDecoder(tokens, 0, BeamConfig(lm=str(lm), alpha=0.5)).decode(log_probs)[0].text == "A [noise]"
