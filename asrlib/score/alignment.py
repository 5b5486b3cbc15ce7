"""Alignment of references and hypotheses with the weights and the tie-breaking of NIST sclite.

A substitution costs 4, an insertion or deletion 3, a match 0. Among steps of equal cost sclite prefers, at each cell of the table, the
diagonal one, then the insertion, then the deletion. The rule matters: three substitutions cost as much as one match with two insertions
and two deletions. kaldialign's sclite_mode has the same weights but breaks ties differently, so that its counts sometimes differ.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SUBSTITUTION, GAP = 4, 3
# Cells of one table of back pointers; bounds the memory (one byte per cell, and about eight per cell of the two current rows).
MAX_CELLS = 8_000_000
_DIAGONAL, _DELETION, _INSERTION = 0, 1, 2


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

    def steps(self) -> Iterator[tuple[str, Hashable | None, Hashable | None]]:
        """(op, reference unit, hypothesis unit) from left to right; None where one side has no unit."""
        ref, hyp = iter(self.ref), iter(self.hyp)
        for op in self.ops:
            yield op, None if op == "I" else next(ref), None if op in "DO" else next(hyp)


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
    """The ops of each pair. Rows of the table run over the reference, columns over the hypothesis, all pairs side by side."""
    rows, columns = max(len(r) for r, _ in pairs), max(len(h) for _, h in pairs)
    ref = np.full((len(pairs), rows), -1, dtype=np.int32)
    hyp = np.full((len(pairs), columns), -2, dtype=np.int32)
    for i, (r, h) in enumerate(pairs):
        ref[i, : len(r)], hyp[i, : len(h)] = r, h
    gaps = GAP * np.arange(columns + 1, dtype=np.int32)
    cost = np.tile(gaps, (len(pairs), 1))
    back = np.full((rows + 1, len(pairs), columns + 1), _INSERTION, dtype=np.uint8)
    back[1:, :, 0] = _DELETION
    for i in range(1, rows + 1):
        diagonal = cost[:, :-1] + SUBSTITUTION * (ref[:, i - 1 : i] != hyp)
        deletion = cost + GAP
        best = deletion.copy()
        np.minimum(best[:, 1:], diagonal, out=best[:, 1:])
        # An insertion continues the row: min over k <= j of best[k] + GAP * (j - k).
        cost = np.minimum.accumulate(best - gaps, axis=1) + gaps
        insertion = cost[:, :-1] + GAP
        deletion = deletion[:, 1:]
        back[i, :, 1:][deletion < insertion] = _DELETION
        back[i, :, 1:][(diagonal <= deletion) & (diagonal <= insertion)] = _DIAGONAL
    return _trace(back, ref, hyp, [len(r) for r, _ in pairs], [len(h) for _, h in pairs])


def _trace(back: np.ndarray, ref: np.ndarray, hyp: np.ndarray, rows: Sequence[int], columns: Sequence[int]) -> list[str]:
    """Walks back from the last cell of all pairs at once; back: (rows + 1, pairs, columns + 1)."""
    i, j, pairs = np.array(rows), np.array(columns), np.arange(len(ref))
    steps = np.full((ref.shape[1] + hyp.shape[1], len(ref)), ord(" "), dtype=np.uint8)  # from the last to the first
    for step in steps:
        diagonal, deletion = (back[i, pairs, j] == kind for kind in (_DIAGONAL, _DELETION))
        going = (i > 0) | (j > 0)
        if not going.any():
            break
        diagonal, deletion = diagonal & going, deletion & going
        same = diagonal.copy()
        same[diagonal] = ref[pairs[diagonal], i[diagonal] - 1] == hyp[pairs[diagonal], j[diagonal] - 1]
        step[going] = ord("I")
        step[deletion] = ord("D")
        step[diagonal] = ord("S")
        step[same] = ord("C")
        i = i - (diagonal | deletion)
        j = j - (going & ~deletion)
    return [row.tobytes().decode().lstrip(" ") for row in np.ascontiguousarray(steps[::-1].T)]
