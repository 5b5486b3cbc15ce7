"""References with alternatives, optional words and fragments against sclite's output."""

from pathlib import Path

import pytest

from asrlib.score.alignment import align
from asrlib.score.lattice import align_lattice, alternatives, has_signs, lattice

GOLDEN = Path(__file__).parent / "data" / "sclite_lattice.tsv"


def golden():
    return [line.split("\t") for line in GOLDEN.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def counts(one) -> list[int]:
    """#C #S #D #I as sclite counts them: an optional word that is missing is correct."""
    return [one.ops.count("C") + one.ops.count("O"), *map(one.ops.count, "SDI")]


def aligned(ref, hyp, unit="word", optional=False, fragments=False):
    return align_lattice(lattice(ref, unit, optional), hyp.split() if unit == "word" else list(hyp), fragments)


def weighted(c, s, d, i) -> int:
    return 4 * s + 3 * d + 3 * i


def test_counts_are_those_of_sclite():
    ties = []
    for options, ref, hyp, expected in golden():
        found = counts(aligned(ref, hyp, optional="-D" in options, fragments="-F" in options))
        theirs = list(map(int, expected.split()))
        if found != theirs:
            ties.append((ref, hyp))
            assert weighted(*found) == weighted(*theirs)
    assert len(golden()) == 450
    assert len(ties) <= 2, ties  # paths of equal cost through nested alternatives


@pytest.mark.parametrize(
    ("ref", "hyp", "path", "ops"),
    [
        ("{ CANNOT / CAN NOT } GO", "CAN NOT GO", "CAN NOT GO", "CCC"),
        ("{ CANNOT / CAN NOT } GO", "CANNOT GO", "CANNOT GO", "CC"),
        ("{CANNOT / CAN NOT} GO", "GO", "CANNOT GO", "DC"),
        ("I { UM / UH / @ } GO", "I GO", "I GO", "CC"),
        ("I { UM / UH / @ } GO", "I UH GO", "I UH GO", "CCC"),
        ("@ OK", "X OK", "OK", "IC"),
        ("{ A / B / { C / D } E } F", "D E F", "D E F", "CCC"),
        ("{ A / } B", "B", "B", "C"),
        ("A {breath} B", "A B", "A {breath} B", "CDC"),
        ("A { B", "A B", "A { B", "CDC"),
        ("@", "", "", ""),
    ],
)
def test_alternatives(ref, hyp, path, ops):
    one = aligned(ref, hyp)
    assert (" ".join(one.ref), one.ops) == (path, ops)
    runs = list(one.runs())
    assert [unit for _, part, _ in runs for unit in part] == path.split()
    assert [unit for _, _, part in runs for unit in part] == hyp.split()


@pytest.mark.parametrize(
    ("ref", "hyp", "ops"),
    [
        *(("(UH) YES", "UH YES", "CC"), ("(UH) YES", "YES", "OC"), ("(UH) YES", "AH YES", "SC"), ("A (B) C", "X C", "SOC")),
        *(("MY FRIEND-", "MY FRIENDLY", "CC"), ("MY FRIEND-", "MY FRI", "CS"), ("-END YES", "FRIEND YES", "CC"), ("FRIEND", "FR-", "C")),
        *(("(FRI-) A", "A", "OC"), ("(FRI-) A", "FRIEND A", "CC"), ("- B", "A B", "SC")),
    ],
)
def test_optional_words_and_fragments(ref, hyp, ops):
    assert aligned(ref, hyp, optional=True, fragments=True).ops == ops


def test_characters():
    assert counts(aligned("{ 今天 / 明 } 好", "明好", "char")) == [2, 0, 0, 0]
    assert counts(aligned("(嗯) 好", "好", "char", optional=True)) == [2, 0, 0, 0]


def test_without_signs_it_is_the_plain_alignment():
    rows = [line.split("\t") for line in (GOLDEN.parent / "sclite.tsv").read_text().splitlines() if not line.startswith("#")]
    plain = align([ref.split() for ref, *_ in rows], [hyp.split() for _, hyp, *_ in rows])
    assert [align_lattice(lattice(ref), hyp.split()).ops for ref, hyp, *_ in rows] == [one.ops for one in plain]


def test_signs_are_recognised():
    assert has_signs("{ A / B }") and has_signs("A @") and has_signs("(A)", optional=True) and has_signs("A-", fragments=True)
    assert not any(map(has_signs, ["A B", "(A) B", "A-", "a {breath} b", "me@home", "A { B"]))
    assert alternatives("A } B") is None
    assert alternatives("A { B / { C / D } }") == ["A", [["B"], [[["C"], ["D"]]]]]
