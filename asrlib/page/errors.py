"""Errors of a scored set by word, by length and by speaker."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from asrlib.page.experiment import Scored
from asrlib.page.parts import Cell, Chart, Column, Series, Table, count, number, span
from asrlib.score.bootstrap import interval, percent, resample
from asrlib.score.folder import Step, read_confusions

MOST_CONFUSIONS, MOST_WORDS, MOST_SPEAKERS = 40, 60, 200  # rows
OPS = {"S": "substituted", "D": "deleted", "I": "inserted"}
LENGTHS = (0, 1, 2, 4, 6, 9, 13, 21, 31, 51)  # first units of the groups
REPLICATIONS = 2000  # for the interval of each group


class Words:
    """Counts how often each reference unit occurs and how often it is wrong."""

    def __init__(self) -> None:
        self.all, self.wrong = Counter[str](), Counter[str]()

    def add(self, steps: list[Step]) -> None:
        self.all.update(step.ref for step in steps if step.ref)
        self.wrong.update(step.ref for step in steps if step.ref and step.op in "SD")

    def table(self, name: str, unit: str) -> Table:
        """Those that are wrong most often."""
        rows = [
            [Cell(word), count(wrong), count(self.all[word]), number(100 * wrong / self.all[word])]
            for word, wrong in self.wrong.most_common(MOST_WORDS)
        ]
        noun = _noun(unit)
        columns = [Column(noun), Column("wrong", True), Column("in the references", True), Column("wrong (%)", True)]
        note = f"The {MOST_WORDS} with the most errors of {len(self.wrong):,}." if len(self.wrong) > MOST_WORDS else ""
        return Table(name, f"{noun.capitalize()}s that are wrong most often", columns, rows, note, searched=True)


def confusions_table(scored: Scored, name: str) -> Table:
    """The most frequent substitutions, deletions and insertions."""
    rows = [
        [count(times), Cell(OPS[op]), Cell(ref), Cell(hyp)]
        for op in OPS for times, ref, hyp in read_confusions(scored.folder, op, MOST_CONFUSIONS)
    ]  # fmt: skip
    rows.sort(key=lambda row: -(row[0].value or 0))
    columns = [Column("times", True), Column("error"), Column("reference"), Column("hypothesis")]
    note = f"At most {MOST_CONFUSIONS} of each kind; confusions.tsv has all."
    return Table(name, "Most frequent substitutions, deletions and insertions", columns, rows, note, searched=True)


def by_length(scored: Scored, name: str) -> tuple[Chart, Table] | None:
    """Error rate over the length of the reference; None if all have the same."""
    units = scored.utterances.ref_units
    groups = np.searchsorted(LENGTHS, units, side="right") - 1
    labels = [_range(number) for number in range(len(LENGTHS))]
    rows = list(_grouped(scored, groups))
    if len(rows) < 2:
        return None
    noun = _noun(scored.unit)
    places, shown = list(range(len(rows))), [labels[group] for group, *_ in rows]
    low, high = ([row[4][side] if row[4] else None for row in rows] for side in (0, 1))
    series = Series(scored.measure, places, [row[3] for row in rows], "line", low, high)
    chart = Chart(f"{name}-chart", "Error rate by length", f"{noun}s in the reference", f"{scored.measure} (%)", [series], zero=True, labels=shown)
    columns = [Column(f"{noun}s", True), Column("sentences", True), Column("errors", True), Column("error rate (%)", True),
               Column("95 % interval", True)]  # fmt: skip
    cells = [
        [Cell(labels[group], LENGTHS[group]), count(size), count(wrong), number(rate), span(bounds, rate, 0)]
        for group, size, wrong, rate, bounds in rows
    ]
    return chart, Table(name, "Error rate by length", columns, cells)


def by_speaker(scored: Scored, name: str) -> Table | None:
    """Error rate of each speaker, the most errors first; None if speakers are not known."""
    speakers = scored.utterances.speakers
    if not any(speakers):
        return None
    names, groups = np.unique(np.array(speakers, dtype=object), return_inverse=True)
    rows = sorted(_grouped(scored, groups), key=lambda row: (-row[2], row[0]))[:MOST_SPEAKERS]
    end = max((row[4][1] if row[4] else row[3] or 0) for row in rows)
    cells = [[Cell(str(names[group])), count(size), count(wrong), number(rate), span(bounds, rate, end)] for group, size, wrong, rate, bounds in rows]
    columns = [Column("speaker"), Column("sentences", True), Column("errors", True), Column("error rate (%)", True), Column("95 % interval", True)]
    note = f"The {MOST_SPEAKERS} with the most errors of {len(names):,}. " if len(names) > MOST_SPEAKERS else ""
    return Table(name, "Error rate by speaker", columns, cells, f"{note}Intervals: bootstrap over the sentences of the speaker.", searched=True)


def _grouped(scored: Scored, groups: np.ndarray) -> Iterator[tuple[int, int, int, float | None, list[float] | None]]:
    """(group, utterances, errors, error rate in percent, its interval) of each group that has utterances."""
    columns = np.stack([scored.utterances.errors, scored.utterances.ref_units], axis=1)
    for group in np.unique(groups).tolist():
        own = columns[groups == group]
        wrong, units = own.sum(axis=0).tolist()
        bounds = None
        if units and len(own) > 1:
            sums = resample(own, replications=REPLICATIONS)
            bounds = interval(percent(sums[:, 0], sums[:, 1]))
        yield group, len(own), wrong, 100 * wrong / units if units else None, bounds


def _range(number: int) -> str:
    first = LENGTHS[number]
    if number + 1 == len(LENGTHS):
        return f"{first}+"
    last = LENGTHS[number + 1] - 1
    return str(first) if first == last else f"{first}–{last}"


def _noun(unit: str) -> str:
    return "word" if unit == "word" else "character"
