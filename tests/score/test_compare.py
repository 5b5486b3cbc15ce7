"""Comparison of two systems on one reference."""

import json

import kaldialign
import numpy as np
import pytest

from asrlib.score.compare import compare, paired, summary_text, write_comparison
from asrlib.score.error_rate import score
from asrlib.utils.errors import UserError

REF = {f"u{i}": "ONE TWO THREE FOUR" for i in range(8)}


def with_errors(counts):
    """Hypotheses with counts[i] deleted words in utterance i."""
    return {u: " ".join(text.split()[: 4 - n]) for (u, text), n in zip(REF.items(), counts, strict=True)}


def scores(a, b, **kwargs):
    return score(REF, with_errors(a), "word", **kwargs), score(REF, with_errors(b), "word", **kwargs)


def test_the_same_system_twice():
    found = compare(*scores([1] * 8, [1] * 8))
    assert (found.delta, found.ci95, found.probability_of_improvement, list(found.changed())) == (0.0, [0.0, 0.0], 0.0, [])


def test_better_everywhere_is_certain():
    found = compare(*scores([2] * 8, [1] * 8))
    assert (found.delta, found.ci95, found.probability_of_improvement) == (-25.0, [-25.0, -25.0], 1.0)


def test_regressions_first_improvements_last():
    found = compare(*scores([0, 3, 1, 1, 0, 0, 0, 0], [2, 0, 0, 1, 1, 0, 0, 0]))
    assert list(found.changed()) == [("u0", 2), ("u4", 1), ("u2", -1), ("u1", -3)]
    summary = found.summary()
    assert summary["regressions"] == {"u0": 2, "u4": 1}
    assert list(summary["improvements"].items()) == [("u1", -3), ("u2", -1)]
    assert summary["delta"] == pytest.approx(100 * (4 - 5) / 32)
    assert 0.5 < summary["probability_of_improvement"] < 0.9


def test_probability_agrees_with_kaldialign():
    rng = np.random.default_rng(3)
    a, b = rng.integers(3, size=8), rng.integers(3, size=8)
    found = compare(*scores(a, b))
    split = [[h[u].split() for u in REF] for h in (REF, with_errors(a), with_errors(b))]
    theirs = kaldialign.bootstrap_wer_ci(*split)
    assert 0.02 < found.probability_of_improvement < 0.98
    assert found.probability_of_improvement == pytest.approx(theirs["p_s2_improv_over_s1"], abs=0.02)


def test_drawing_speakers():
    speakers = {u: "s1" if int(u[1]) < 4 else "s2" for u in REF}
    found = compare(*scores([0] * 8, [1] * 4 + [0] * 4, speakers=speakers, ci95_over="speaker"))
    assert found.ci95 == [0.0, 25.0]


def test_undefined_for_a_reference_without_words():
    empty = score({"a": "", "b": ""}, {"a": "X", "b": ""}, "word")
    found = compare(empty, empty)
    assert (found.delta, found.ci95, found.probability_of_improvement) == (None, None, None)
    assert "undefined" in summary_text(found)


def test_other_references_are_refused():
    with pytest.raises(UserError, match="not scored against the same reference"):
        compare(score({"a": "X"}, {"a": "X"}, "word"), score({"a": "Y"}, {"a": "X"}, "word"))


def test_files(tmp_path):
    found = compare(*scores([0, 3] + [0] * 6, [1, 0] + [0] * 6))
    assert "1 utterances got worse, 1 better" in write_comparison(found, tmp_path, ref="r")
    text = (tmp_path / "comparison.txt").read_text()
    assert text.index("REGRESSION +1 errors\nA: id: (u0)") < text.index("IMPROVEMENT -3 errors\nA: id: (u1)")
    assert json.loads((tmp_path / "comparison.json").read_text())["ref"] == "r"


def test_paired_counts_alone():
    """Of the tables of score folders: the same figures as those of the scores."""
    one, two = scores([2, 1, 0, 3, 1, 1, 0, 2], [1, 1, 2, 0, 1, 0, 0, 0])
    found = compare(one, two)
    delta, interval, better = paired((one.errors, one.ref_units), (two.errors, two.ref_units))
    assert (delta, interval, better) == (found.delta, found.ci95, found.probability_of_improvement)
    assert delta == pytest.approx(100 * (5 - 10) / 32)
