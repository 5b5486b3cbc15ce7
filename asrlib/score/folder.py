"""What is in a score folder that asrlib.score.files has written: counts of each utterance, alignments, confusions."""

import csv
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrlib.score.error_rate import Numbers
from asrlib.score.texts import width
from asrlib.utils.errors import UserError

COUNTS = ("correct", "substitutions", "deletions", "insertions")


class Step(NamedTuple):
    """A step of an alignment. op: C, S, D, I or O, as in asrlib.score.alignment; ref, hyp: the units, "" where a side has none."""

    op: str
    ref: str
    hyp: str


@dataclass(frozen=True)
class Utterances(Numbers):
    """The rows of per_utt.tsv. speakers: "" where they are not known; numbers: (utterances, 4), columns as COUNTS."""

    ids: list[str]
    speakers: list[str]
    numbers: np.ndarray


def read_utterances(folder: Path) -> Utterances:
    """The counts of every utterance, in the order of the ids. UserError: no per_utt.tsv, or another file of this name."""
    ids, speakers, rows = list[str](), list[str](), list[list[int]]()
    try:
        with open(folder / "per_utt.tsv", encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
                ids.append(row["utterance"])
                speakers.append(row["speaker"])
                rows.append([int(row[name]) for name in COUNTS])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'per_utt.tsv'}: not a table of the score command ({type(error).__name__}): run stage 6 again") from None
    return Utterances(ids, speakers, np.array(rows, np.int64).reshape(-1, 4))


def read_confusions(folder: Path, op: str, most: int) -> list[tuple[int, str, str]]:
    """(count, reference unit, hypothesis unit) of the most frequent edits of a kind: S, D or I. UserError: as read_utterances."""
    found = list[tuple[int, str, str]]()
    try:
        with open(folder / "confusions.tsv", encoding="utf-8") as stream:
            next(stream)
            for line in stream:
                count, kind, ref, hyp = line.rstrip("\n").split("\t")
                if kind == op:
                    found.append((int(count), ref, hyp))
                if len(found) == most:
                    break
    except (OSError, StopIteration, ValueError) as error:
        raise UserError(f"{folder / 'confusions.tsv'}: not a table of the score command ({type(error).__name__}): run stage 6 again") from None
    return found


def read_alignments(folder: Path, wanted: Container[str] | None = None) -> Iterator[tuple[str, list[Step]]]:
    """(utterance, steps) of every utterance in alignments.txt, or of those that are wanted. UserError: as read_utterances."""
    path = folder / "alignments.txt"
    try:
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("id: ("):
                    utt = line[5:].rstrip("\n").removesuffix(")")
                    _, ref, hyp, marks = (next(stream)[6:].rstrip("\n") for _ in range(4))  # the first has the counts
                    if wanted is None or utt in wanted:
                        yield utt, _steps(ref, hyp, marks)
    except (OSError, StopIteration, RuntimeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: not the alignments of the score command ({type(error).__name__}): run stage 6 again") from None


def _steps(ref: str, hyp: str, marks: str) -> list[Step]:
    """The steps of three lines in aligned columns, where asterisks stand for a side without a unit; the letter in the third line tells which."""
    found, column = list[Step](), 0
    for r, h in zip(ref.split(), hyp.split(), strict=True):
        mark = marks[column : column + 1].strip()
        op = mark or "C"
        found.append(Step(op, "" if op == "I" else r, "" if op in "DO" else h))
        column += max(width(r), width(h), 1) + 1
    return found
