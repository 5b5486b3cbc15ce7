"""Pooled error rates of references with missing, empty, extra and reordered hypotheses."""

import pytest

from asrlib.score import pairs
from asrlib.score.conventions import Conventions
from asrlib.score.error_rate import Counts, count_errors, score
from asrlib.score.texts import read_text
from asrlib.utils.errors import UserError

REF = {"a": "ONE TWO THREE", "b": "FOUR FIVE", "c": "SIX"}
HYP = {"a": "ONE TOO THREE", "b": "FOUR FIVE SIX", "c": "SIX"}
LIBRISPEECH = {"dev-clean": (2703, 54402), "test-clean": (2620, 52576)}


def test_counts_are_pooled_over_utterances():
    result = score(REF, HYP, "word").summary()
    assert {k: result[k] for k in ("utterances", "ref_units", "correct", "substitutions", "deletions", "insertions", "wrong_utterances")} == {
        "utterances": 3, "ref_units": 6, "correct": 5, "substitutions": 1, "deletions": 0, "insertions": 1, "wrong_utterances": 2,
    }  # fmt: skip
    assert result["error_rate"] == pytest.approx(100 * 2 / 6)
    assert result["sentence_error"] == pytest.approx(100 * 2 / 3)
    low, high = result["ci95"]
    assert 0 <= low <= result["error_rate"] <= high


def test_order_does_not_matter():
    shuffled = dict(reversed(HYP.items()))
    assert score(REF, shuffled, "word").summary() == score(REF, HYP, "word").summary()
    assert score(dict(reversed(REF.items())), HYP, "word").summary() == score(REF, HYP, "word").summary()


def test_a_missing_hypothesis_is_all_deletions_and_warned_of(warnings):
    result = score(REF, {u: HYP[u] for u in "bc"}, "word")
    assert (result.counts.deletions, result.counts.ref_units, result.missing) == (3, 6, ["a"])
    assert "1 utterances have NO HYPOTHESIS and are scored as deletions: a" in warnings.text
    none = score(REF, {}, "word")
    assert (none.counts.error_rate, none.counts.deletions, len(none.missing)) == (100.0, 6, 3)


def test_an_empty_hypothesis_is_all_deletions_but_not_missing():
    result = score(REF, HYP | {"a": ""}, "word")
    assert (result.counts.deletions, result.missing, result.empty) == (3, [], ["a"])


def test_an_extra_hypothesis_stops_or_is_left_out(warnings):
    with pytest.raises(UserError, match=r"1 hypotheses have no reference, the first is 'z'.*--allow_extra true"):
        score(REF, HYP | {"z": "SEVEN"}, "word")
    result = score(REF, HYP | {"z": "SEVEN"}, "word", allow_extra=True)
    assert result.extra == ["z"]
    assert result.counts == score(REF, HYP, "word").counts
    assert "1 utterances have a hypothesis but no reference and are ignored: z" in warnings.text


def test_an_empty_reference_utterance_counts_its_insertions():
    result = score({"a": "ONE", "b": ""}, {"a": "ONE", "b": "UH HUH"}, "word")
    assert (result.counts.insertions, result.counts.ref_units, result.counts.error_rate) == (2, 1, 200.0)
    assert result.counts.wrong_utterances == 1
    silent = score({"a": "ONE", "b": ""}, {"a": "ONE", "b": ""}, "word")
    assert (silent.counts.error_rate, silent.counts.wrong_utterances, silent.empty) == (0.0, 0, [])


def test_a_reference_without_words_has_no_error_rate():
    result = score({"a": "", "b": ""}, {"a": "UH", "b": ""}, "word").summary()
    assert (result["error_rate"], result["ci95"], result["insertions"], result["sentence_error"]) == (None, None, 1, 50.0)


def test_a_reference_without_utterances_is_refused():
    with pytest.raises(UserError, match="has no utterances"):
        score({}, {}, "word")


def test_characters_are_counted_without_spaces():
    result = score({"a": "AB C"}, {"a": "A BC"}, "char").counts
    assert (result.ref_units, result.errors) == (3, 0)


def test_mandarin():
    ref, hyp = {"a": "今天天气很好", "b": "打开 空调"}, {"a": "今天天汽好", "b": "打开空调吧"}
    chars = score(ref, hyp, "char").counts
    assert (chars.ref_units, chars.substitutions, chars.deletions, chars.insertions) == (10, 1, 1, 1)
    assert chars.error_rate == pytest.approx(30.0)


def test_case_counts_as_in_sclite_with_s():
    assert score({"a": "Hello"}, {"a": "hello"}, "word").counts.substitutions == 1


def test_one_utterance_has_no_interval():
    assert score({"a": "ONE TWO"}, {"a": "ONE"}, "word").ci95 is None


def test_speakers_add_up():
    speakers = {"a": "s2", "b": "s1", "c": "s2", "not in the reference": "s3"}
    groups = score(REF, HYP, "word", speakers).by_speaker()
    assert list(groups) == ["s1", "s2"]
    assert (groups["s2"].utterances, groups["s2"].ref_units, groups["s2"].errors) == (2, 4, 1)
    with pytest.raises(UserError, match="utt2spk lacks 1 utterances of the reference, the first is 'c'"):
        score(REF, HYP, "word", {"a": "s", "b": "s"})
    with pytest.raises(UserError, match="--ci95_over speaker needs an utt2spk file"):
        score(REF, HYP, "word", ci95_over="speaker")
    assert score(REF, HYP, "word", dict.fromkeys(REF, "s"), ci95_over="speaker").ci95 is None


def test_count_errors_pairs_by_position():
    assert count_errors(["A B", "C"], ["A", "C D"]) == Counts(2, 3, 2, 0, 1, 1, 2)
    assert count_errors([], []).error_rate is None


@pytest.mark.parametrize("name", LIBRISPEECH)
def test_known_sizes_of_librispeech(shared, name):
    ref = read_text(shared / "speech" / "librispeech_text" / f"{name}.txt")
    counts = score(ref, ref, "word").counts
    assert (counts.utterances, counts.ref_units) == LIBRISPEECH[name]
    assert (counts.correct, counts.errors) == (counts.ref_units, 0)


def test_blocks_of_files_score_as_dictionaries(tmp_path, monkeypatch):
    """Files in any order, aligned a few utterances at a time, against texts in memory at once."""
    ref = {f"u{i}": "{ ONE / A } TWO (UH)" if i % 5 == 0 else f"TWO <noise> {i % 3}" for i in range(30)}
    hyp = {utt: text.replace("TWO", "two")[: 5 + len(utt)] for utt, text in reversed(ref.items()) if utt != "u7"}
    for name, texts in (("ref", ref), ("hyp", hyp)):
        (tmp_path / name).write_text("".join(f"{utt} {text}\n" for utt, text in texts.items()))
    speakers = {utt: utt[-1] for utt in ref}
    conventions = Conventions(optional_words=True)
    whole = score(ref, hyp, "word", speakers, conventions=conventions)
    monkeypatch.setattr(pairs, "BLOCK", 4)
    parts = score(read_text(tmp_path / "ref"), read_text(tmp_path / "hyp"), "word", speakers, conventions=conventions)
    assert parts.summary() == whole.summary() and parts.by_speaker() == whole.by_speaker() and parts.digest == whole.digest
    assert list(parts.pairs.alignments()) == list(whole.pairs.alignments())
    assert dict(parts.pairs.alignments(["u9", "u7", "u10"])) == {u: dict(whole.pairs.alignments())[u] for u in ("u9", "u7", "u10")}
    assert Counts.of(alignment for _, alignment in parts.pairs.alignments()) == whole.counts
