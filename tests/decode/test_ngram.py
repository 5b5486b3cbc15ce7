"""The estimator against an independent implementation of the formulas, KenLM and nltk's Kneser-Ney."""

import gc
import itertools
import math
import random
from collections import Counter

import pytest
from nltk.lm import KneserNeyInterpolated
from nltk.lm.preprocessing import padded_everygram_pipeline

from asrlib.bin import make_ngram
from asrlib.decode import grams
from asrlib.decode.lm import LN10, load_kenlm, perplexity, sentence_score, vocabulary
from asrlib.decode.ngram import FALLBACK, estimate, write_arpa
from asrlib.score.texts import read_text
from asrlib.utils.errors import UserError

TOY = [s.split() for s in ("A B A C", "A B", "B A C C", "", "A B A B A C", "D")]


def random_text(seed=0, sentences=300):
    """Random words that depend on the previous one, so that all counts of counts occur."""
    rng = random.Random(seed)
    text = []
    for _ in range(sentences):
        last, sentence = 0, []
        for _ in range(rng.randint(0, 8)):
            last = min(59, int(rng.expovariate(0.1)) + last % 3)
            sentence.append(f"w{last}")
        text.append(sentence)
    return text


def conditional(model, word, context):
    """log10 P(word | context) by the ARPA rule: the longest known n-gram and the back-off weights of shorter contexts."""
    for n in range(len(context), -1, -1):
        tail = context[len(context) - n :]
        if (*tail, word) in model.probs[n]:
            shorter = sum(model.backoffs[k - 1].get(context[len(context) - k :], 0.0) for k in range(n + 1, len(context) + 1))
            return model.probs[n][(*tail, word)] + shorter
    return conditional(model, "<unk>", context)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("text", [TOY, random_text()], ids=["toy", "random"])
def test_probabilities_sum_to_one_in_every_context(text, order):
    model = estimate(text, order)
    words = [word for (word,) in model.probs[0] if word != "<s>"]
    assert "<unk>" in words
    contexts = {gram[:-1] for table in model.probs for gram in table} | {("never", "seen")[: order - 1]}
    for context in contexts:
        assert sum(10 ** conditional(model, word, context) for word in words) == pytest.approx(1.0, abs=1e-9)


def test_bigrams_are_those_of_the_formula():
    """Interpolated modified Kneser-Ney of order 2, implemented directly from Chen and Goodman."""
    rng = random.Random(1)  # many rare words, so that the unigrams' counts of counts do not run out
    text = [[f"w{int(rng.paretovariate(0.7))}" for _ in range(rng.randint(0, 8))] for _ in range(300)]
    model = estimate(text, 2)
    pairs = [pair for s in text for pair in itertools.pairwise(["<s>", *s, "</s>"])]
    kinds = set(pairs)
    assert model.discounts[0] != FALLBACK != model.discounts[1]

    def discounts(values):
        n = [values.count(k) for k in (1, 2, 3, 4)]
        y = n[0] / (n[0] + 2 * n[1])
        return [1 - 2 * y * n[1] / n[0], 2 - 3 * y * n[2] / n[1], 3 - 4 * y * n[3] / n[2]]

    vocab = sorted({w for _, w in kinds})
    lefts = {w: sum(b == w for _, b in kinds) for w in vocab}
    d1, d2 = discounts(list(lefts.values())), discounts([pairs.count(k) for k in kinds])
    free = sum(d1[min(c, 3) - 1] for c in lefts.values()) / len(kinds)
    unigram = {w: (c - d1[min(c, 3) - 1]) / len(kinds) + free / (len(vocab) + 1) for w, c in lefts.items()}
    for h, w in sorted(kinds)[:150]:
        total = sum(a == h for a, _ in pairs)
        gamma = sum(d2[min(pairs.count(k), 3) - 1] for k in kinds if k[0] == h) / total
        c = pairs.count((h, w))
        assert 10 ** model.probs[1][h, w] == pytest.approx((c - d2[min(c, 3) - 1]) / total + gamma * unigram[w])
        assert 10 ** model.backoffs[0][h,] == pytest.approx(gamma)


def test_kenlm_reads_the_same_scores(tmp_path):
    text = random_text(2)
    model = estimate(text, 3)
    write_arpa(model, tmp_path / "lm.arpa")
    words = [f"w{i}" for i in range(60)]
    assert set(vocabulary(tmp_path / "lm.arpa")) == {w for s in text for w in s}
    lm = load_kenlm(tmp_path / "lm.arpa", words + ["new"])
    for sentence in [*random_text(3, 20), ["new", "w1", "new"]]:
        padded = ["<s>", *sentence, "</s>"]
        expected = sum(conditional(model, word, tuple(padded[max(0, i - 2) : i])) for i, word in enumerate(padded) if i)
        ids = [(words + ["new"]).index(word) for word in sentence]
        assert sentence_score(lm, ids) == pytest.approx(expected * LN10, abs=1e-4)


def test_perplexity_is_better_than_nltks_on_held_out_text(tmp_path):
    train, held_out = random_text(4, 400), [s for s in random_text(5, 100) if s]
    write_arpa(estimate(train, 3), tmp_path / "lm.arpa")
    ours = perplexity(tmp_path / "lm.arpa", held_out)
    theirs = KneserNeyInterpolated(3)
    theirs.fit(*padded_everygram_pipeline(3, train))
    logs = [
        theirs.logscore(word, tuple(padded[i - 2 : i]))
        for s in held_out
        for padded in [["<s>", "<s>", *s, "</s>"]]
        for i, word in enumerate(padded)
        if i > 1
    ]
    assert 1 < ours < 2 ** (-sum(logs) / len(logs))
    assert ours < 62  # a uniform choice among the 60 words, the end and <unk>


def test_too_small_a_text_falls_back_to_fixed_discounts():
    assert estimate([["A"]], 2).discounts == [FALLBACK, FALLBACK]


@pytest.mark.parametrize(("text", "message"), [([], "no words"), ([[], []], "no words"), ([["A", "<s>"]], "<s>, which is reserved in n-gram models")])
def test_text_without_use(text, message):
    with pytest.raises(UserError, match=message):
        estimate(text, 3)


def test_command(shared, tmp_path, caplog):
    folder = shared / "speech" / "librispeech_text"
    arguments = ["--text", str(folder / "train-clean-100.part.txt"), "--order", "3", "--out", str(tmp_path / "lm.arpa")]
    assert not make_ngram.main(arguments)
    words = set(vocabulary(tmp_path / "lm.arpa"))
    assert words == {word for text in read_text(folder / "train-clean-100.part.txt").values() for word in text.split()}
    known = [s for s in (t.split() for t in read_text(folder / "dev-clean.txt").values()) if words.issuperset(s)]
    assert 100 < perplexity(tmp_path / "lm.arpa", known) < 500


def test_command_with_characters(tmp_path):
    (tmp_path / "text").write_text("u1 A B\nu2 今天\n", encoding="utf-8")
    make_ngram.main(["--text", str(tmp_path / "text"), "--unit", "char", "--out", str(tmp_path / "lm.arpa")])
    assert vocabulary(tmp_path / "lm.arpa") == ["<space>", "A", "B", "今", "天"]
    assert math.isfinite(perplexity(tmp_path / "lm.arpa", [["A", "<space>", "天"]]))


@pytest.mark.parametrize("unit", ["word", "char"])
def test_unknown_words_tags_and_reserved_symbols_in_the_text(tmp_path, unit):
    (tmp_path / "text").write_text("u1 A <unk> B [noise]\nu2 <s> B A </s>\nu3 <blank> A <unk> B\n")
    arguments = ["--text", str(tmp_path / "text"), "--valid_text", str(tmp_path / "text"), "--unit", unit, "--out", str(tmp_path / "lm.arpa")]
    assert not make_ngram.main(arguments)
    assert sorted(vocabulary(tmp_path / "lm.arpa")) == ["<space>"] * (unit == "char") + ["A", "B", "[noise]"]
    assert "A <unk> B" in (tmp_path / "lm.arpa").read_text() or unit == "char"


def test_unknown_words_of_the_text_leave_a_distribution():
    model = estimate([["A", "<unk>", "B"], ["<unk>", "B"], ["A", "B", "A"]], 3)
    words = [word for (word,) in model.probs[0] if word != "<s>"]
    for context in {gram[:-1] for table in model.probs for gram in table}:
        assert sum(10 ** conditional(model, word, context) for word in words) == pytest.approx(1.0, abs=1e-9)
    assert 10 ** conditional(model, "B", ("<unk>",)) > 0.5


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("wide", [False, True])
def test_parts_on_disk_give_the_same_model(tmp_path, monkeypatch, order, wide):
    """The counts of a dictionary, and the file of one part: for parts of few n-grams, and for n-grams that do not fit into 64 bits."""
    text = random_text(6)
    write_arpa(whole := estimate(text, order), tmp_path / "whole.arpa")
    monkeypatch.setattr(grams, "PART", 37)
    if wide:
        monkeypatch.setattr(grams.Keys, "__init__", lambda self, units, order: setattr(self, "narrow", False))
    parts = estimate(text, order)
    write_arpa(parts, tmp_path / "parts.arpa")
    assert (tmp_path / "parts.arpa").read_bytes() == (tmp_path / "whole.arpa").read_bytes()
    assert parts.discounts == whole.discounts and parts.sizes == list(map(len, whole.probs))
    padded = [["<s>", *sentence, "</s>"] for sentence in text]
    counts = Counter(tuple(words[i : i + order]) for words in padded for i in range(len(words) - order + 1))
    counts.pop(("<s>",), None)
    table = parts.tables[-1]
    rows = parts.keys.unpack(table.keys.read(), order).tolist()
    grams_found = [tuple(parts.units[number] for number in row) for row in rows if order > 1 or parts.units[row[0]] != "<unk>"]
    assert dict(zip(grams_found, table.counts.read().tolist(), strict=True)) == counts


def test_the_folder_of_a_model_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = estimate(TOY, 3)
    assert len(list(tmp_path.glob("asrlib.*/*.keys"))) == 3
    del model
    gc.collect()
    assert list(tmp_path.iterdir()) == []
