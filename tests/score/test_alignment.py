"""Alignment against sclite's output, an independent dynamic programme, kaldialign and jiwer."""

from functools import cache
from pathlib import Path

import jiwer
import kaldialign
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.score import alignment
from asrlib.score.alignment import align

GOLDEN = Path(__file__).parent / "data" / "sclite.tsv"

units = st.lists(st.sampled_from("abcd"), max_size=9)


def golden():
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def weighted(ops: str) -> int:
    return 4 * ops.count("S") + 3 * ops.count("D") + 3 * ops.count("I")


def least_cost(ref, hyp) -> int:
    """The textbook recursion over suffixes, sclite's weights."""

    @cache
    def cost(i, j):
        if i == len(ref) or j == len(hyp):
            return 3 * (len(ref) - i + len(hyp) - j)
        return min(cost(i + 1, j + 1) + 4 * (ref[i] != hyp[j]), cost(i + 1, j) + 3, cost(i, j + 1) + 3)

    return cost(0, 0)


def test_counts_and_alignments_are_those_of_sclite():
    rows = golden()
    found = align([ref.split() for ref, *_ in rows], [hyp.split() for _, hyp, *_ in rows])
    assert len(found) > 200
    for (_, _, counts, ops), one in zip(rows, found, strict=True):
        assert one.ops == ops
        assert " ".join(str(one.ops.count(op)) for op in "CSDI") == counts


@pytest.mark.parametrize(
    ("ref", "hyp", "ops"),
    [
        ("", "", ""),
        ("a", "", "D"),
        ("", "a", "I"),
        ("a", "b", "S"),  # 4 < 3 + 3
        ("a b", "b a", "DCI"),  # 3 + 3 < 4 + 4
        ("a a", "a", "DC"),  # the match comes last
        ("a b c d", "d x y z", "SSSS"),  # 16 < 3 * 6
        # One match with two deletions and two insertions costs 12 as well as three substitutions; sclite keeps the diagonal.
        ("a b m", "m x y", "SSS"),
        ("a b c", "a c", "CDC"),
        ("a c", "a b c", "CIC"),
    ],
)
def test_hand_derived(ref, hyp, ops):
    assert align([ref.split()], [hyp.split()])[0].ops == ops


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(units, units), min_size=1, max_size=6))
def test_cost_is_least_and_equals_kaldialigns(pairs):
    refs, hyps = zip(*pairs, strict=True)
    for ref, hyp, one in zip(refs, hyps, align(refs, hyps), strict=True):
        theirs = kaldialign.edit_distance(ref, hyp, sclite_mode=True)
        assert weighted(one.ops) == least_cost(tuple(ref), tuple(hyp)) == 4 * theirs["sub"] + 3 * theirs["del"] + 3 * theirs["ins"]


@settings(deadline=None, derandomize=True)
@given(units.filter(bool), units)
def test_total_is_jiwers_unless_the_weights_ask_for_more(ref, hyp):
    ours = align([ref], [hyp])[0]
    theirs = jiwer.process_words(" ".join(ref), " ".join(hyp))
    least = theirs.substitutions + theirs.deletions + theirs.insertions
    assert ours.errors >= least
    assert ours.ops.count("I") - ours.ops.count("D") == len(hyp) - len(ref) == theirs.insertions - theirs.deletions
    if ours.errors > least:  # jiwer's path must then cost more by sclite's weights
        assert weighted(ours.ops) < 4 * theirs.substitutions + 3 * (theirs.deletions + theirs.insertions)


@settings(deadline=None, derandomize=True)
@given(units, units)
def test_runs_spell_both_sides(ref, hyp):
    one = align([ref], [hyp])[0]
    runs = list(one.runs())
    assert [unit for _, part, _ in runs for unit in part] == ref
    assert [unit for _, _, part in runs for unit in part] == hyp
    for ops, r, h in runs:
        assert set(ops) == {"I" if not r else "D" if not h else "C" if r == h else "S"}
    assert len(list(one.edits())) == one.errors
    assert all(op == ("I" if r == "" else "D" if h == "" else "S") and r != h for op, r, h in one.edits())


def test_small_tables_change_nothing(monkeypatch):
    rows = golden()
    refs, hyps = [r.split() for r, *_ in rows], [h.split() for _, h, *_ in rows]
    whole = [one.ops for one in align(refs, hyps)]
    monkeypatch.setattr(alignment, "MAX_CELLS", 300)
    assert [one.ops for one in align(refs, hyps)] == whole
    assert whole == [align([r], [h])[0].ops for r, h in zip(refs, hyps, strict=True)]


def test_units_may_be_any_values():
    assert align([[3, 1, "*"]], [[3, "*", None]])[0].ops in ("CDCI", "CSS")
    with pytest.raises(ValueError, match="2 references and 1 hypotheses"):
        align([[1], [2]], [[1]])
