"""Alignment of references and hypotheses with the weights and the tie-breaking of NIST sclite.

A substitution costs 4, an insertion or deletion 3, a match 0. Among steps of equal cost sclite prefers, at each cell of the table, the
diagonal one, then the insertion, then the deletion. The rule matters: three substitutions cost as much as one match with two insertions
and two deletions. kaldialign's sclite_mode has the same weights but breaks ties differently, so that its counts sometimes differ.
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SUBSTITUTION, GAP = 4, 3
# Cells of one table of back pointers; bounds the memory (one byte per cell, and about eight per cell of the two current rows).
MAX_CELLS = 8_000_000
_DIAGONAL, _DELETION, _INSERTION = 0, 1, 2  # _align_batch computes with these numbers
RUN = re.compile(r"(.)\1*")


@dataclass(frozen=True)
class Alignment:
    """One aligned utterance. `ops` holds one letter per step: C(orrect), S(ubstitution), D(eletion), I(nsertion), or O for an optional word
    that the hypothesis leaves out, which counts as correct (asrlib.score.lattice)."""

    ref: Sequence[Hashable]
    hyp: Sequence[Hashable]
    ops: str

    @property
    def errors(self) -> int:
        return sum(self.ops.count(op) for op in "SDI")

    def runs(self) -> Iterator[tuple[str, Sequence, Sequence]]:
        """(ops, reference units, hypothesis units) of the runs of equal ops, from left to right; one side is empty where it has no units."""
        i = j = 0
        for run in RUN.finditer(self.ops):
            ops = run[0]
            ref, hyp = self.ref[i : i + len(ops) * (ops[0] != "I")], self.hyp[j : j + len(ops) * (ops[0] not in "DO")]
            i, j = i + len(ref), j + len(hyp)
            yield ops, ref, hyp

    def edits(self) -> Iterator[tuple[str, str, str]]:
        """(op, reference unit, hypothesis unit) of the substitutions, deletions and insertions; "" where one side has no unit."""
        for ops, ref, hyp in self.runs():
            if ops[0] not in "CO":
                yield from zip(ops, ref or [""] * len(ops), hyp or [""] * len(ops), strict=True)


def align(refs: Sequence[Sequence[Hashable]], hyps: Sequence[Sequence[Hashable]]) -> list[Alignment]:
    """Aligns refs[i] with hyps[i]; units are any hashable values (words, characters, token ids).

    Pairs of similar length share one vectorised table, so that ten thousand utterances take seconds.
    """
    if len(refs) != len(hyps):
        raise ValueError(f"{len(refs)} references and {len(hyps)} hypotheses")
    ids: dict[Hashable, int] = {}
    ops = ["C" * len(ref) if list(ref) == list(hyp) else "" for ref, hyp in zip(refs, hyps, strict=True)]
    wrong = [i for i, found in enumerate(ops) if not found]
    coded = [([ids.setdefault(u, len(ids)) for u in refs[i]], [ids.setdefault(u, len(ids)) for u in hyps[i]]) for i in wrong]
    for batch in _batches(coded):
        for index, found in zip(batch, _align_batch([coded[i] for i in batch]), strict=True):
            ops[wrong[index]] = found
    return [Alignment(ref, hyp, o) for ref, hyp, o in zip(refs, hyps, ops, strict=True)]


def _batches(pairs: list[tuple[list[int], list[int]]]) -> Iterator[list[int]]:
    """Indices of `pairs` sorted by length, in groups whose padded table has at most MAX_CELLS cells."""
    batch: list[int] = []
    rows = columns = 0
    for index in sorted(range(len(pairs)), key=lambda i: (len(pairs[i][0]), len(pairs[i][1]))):
        rows, columns = max(rows, len(pairs[index][0]) + 1), max(columns, len(pairs[index][1]) + 1)
        if batch and (len(batch) + 1) * rows * columns > MAX_CELLS:
            yield batch
            batch, rows, columns = [], len(pairs[index][0]) + 1, len(pairs[index][1]) + 1
        batch.append(index)
    if batch:
        yield batch


def _align_batch(pairs: list[tuple[list[int], list[int]]]) -> list[str]:
    """The ops of each pair. Rows of the table run over the reference, columns over the hypothesis, all pairs side by side in the last axis."""
    rows, columns = max(len(r) for r, _ in pairs), max(len(h) for _, h in pairs)
    ref = np.full((rows, len(pairs)), -1, dtype=np.int32)
    hyp = np.full((columns, len(pairs)), -2, dtype=np.int32)
    for i, (r, h) in enumerate(pairs):
        ref[: len(r), i], hyp[: len(h), i] = r, h
    number: type[np.signedinteger] = np.int16 if GAP * (rows + columns + 2) < 1 << 15 else np.int32  # of costs
    gaps = np.arange(0, GAP * (columns + 1), GAP, dtype=number)[:, None]
    cost = np.tile(gaps, (1, len(pairs)))
    back = np.full((rows + 1, columns + 1, len(pairs)), _INSERTION, dtype=np.uint8)
    back[1:, 0] = _DELETION
    for i in range(1, rows + 1):
        diagonal = np.multiply(ref[i - 1] != hyp, SUBSTITUTION, dtype=number)
        diagonal += cost[:-1]
        best = cost + number(GAP)
        deletion = best[1:].copy()
        np.minimum(best[1:], diagonal, out=best[1:])
        best -= gaps
        cost = np.minimum.accumulate(best, axis=0)  # an insertion continues the row: min over k <= j of best[k] + GAP * (j - k)
        cost += gaps
        insertion = cost[:-1] + number(GAP)
        step = back[i, 1:]
        step -= deletion < insertion
        step *= diagonal > np.minimum(deletion, insertion)
    return _trace(back, ref, hyp, [len(r) for r, _ in pairs], [len(h) for _, h in pairs])


def _trace(back: np.ndarray, ref: np.ndarray, hyp: np.ndarray, rows: Sequence[int], columns: Sequence[int]) -> list[str]:
    """Walks back from the last cell of all pairs at once; back: (rows + 1, columns + 1, pairs)."""
    i, j, pairs = np.array(rows), np.array(columns), np.arange(ref.shape[1])
    steps = np.full((len(ref) + len(hyp), len(pairs)), ord(" "), dtype=np.uint8)  # from the last to the first
    for step in steps:
        diagonal, deletion = (back[i, j, pairs] == kind for kind in (_DIAGONAL, _DELETION))
        going = (i > 0) | (j > 0)
        if not going.any():
            break
        diagonal, deletion = diagonal & going, deletion & going
        same = diagonal.copy()
        same[diagonal] = ref[i[diagonal] - 1, pairs[diagonal]] == hyp[j[diagonal] - 1, pairs[diagonal]]
        step[going] = ord("I")
        step[deletion] = ord("D")
        step[diagonal] = ord("S")
        step[same] = ord("C")
        i = i - (diagonal | deletion)
        j = j - (going & ~deletion)
    return [row.tobytes().decode().lstrip(" ") for row in np.ascontiguousarray(steps[::-1].T)]
