"""Error rates with intervals, decoding speed, and comparisons of systems by paired bootstrap."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from asrlib.page.experiment import STRONGEST, Experiment, Scored, read_facts
from asrlib.page.parts import DASH, Cell, Column, Table, count, number, span
from asrlib.report.tables import counts_of
from asrlib.score.compare import paired

UNDECIDED = "no difference shown"


def results_table(experiments: Sequence[Experiment]) -> Table | None:
    """Every scored set of every experiment; None if there is none."""
    scores = [scored for experiment in experiments for scored in experiment.shown]
    if not scores:
        return None
    ends = {unit: max(_end(one) for one in scores if one.unit == unit) for unit in {one.unit for one in scores}}
    systems = [Column("system")] if len(experiments) > 1 else []
    names = ("correct", "substituted", "deleted", "inserted")
    columns = [
        *systems, Column("set"), Column("decoding"), Column("measure", title="WER: words, CER: characters"), Column("error rate (%)", True),
        Column("95 % interval", True), *(Column(f"{name} (%)", True) for name in names), Column("sentences wrong (%)", True),
        Column("sentences", True), Column("units", True, "words or characters of the references"),
    ]  # fmt: skip
    rows = [[*([Cell(one.system)] if systems else []), *_row(one, ends[one.unit])] for one in scores]
    over = " and ".join(sorted({f"{one.facts['ci95_over']}s" for one in scores}))
    faults = [
        f"{one.set}, {one.decoding}: {one.facts[what]} {what} hypotheses. " for one in scores for what in ("missing", "empty") if one.facts[what]
    ]
    return Table("results", "Error rates", columns, rows, f"{''.join(dict.fromkeys(faults))}Intervals: bootstrap over {over}.")


def _row(scored: Scored, end: float) -> list[Cell]:
    facts, counts = scored.facts, counts_of(scored.facts)
    parts = (counts.correct, counts.substitutions, counts.deletions, counts.insertions)
    shares = [number(100 * part / counts.ref_units if counts.ref_units else None) for part in parts]
    rate = counts.error_rate
    return [
        Cell(scored.set), Cell(scored.decoding), Cell(scored.measure), number(rate), span(facts["ci95"], rate, end), *shares,
        number(counts.sentence_error), count(counts.utterances), count(counts.ref_units),
    ]  # fmt: skip


def _end(scored: Scored) -> float:
    return max(scored.facts["error_rate"] or 0.0, (scored.facts["ci95"] or [0.0, 0.0])[1])


def speed_table(experiments: Sequence[Experiment]) -> Table | None:
    """Real-time factors of decoding; None if no set has one."""
    rows = []
    for experiment in experiments:
        for path in sorted(experiment.folder.glob("decode_*/*/rtf.json")):
            facts, name = read_facts(path, "stage 6"), path.parent
            cells = [Cell(experiment.label)] if len(experiments) > 1 else []
            cells += [Cell(name.name), Cell(name.parent.name.removeprefix("decode_")), number(facts["audio_seconds"])]
            rows.append([*cells, number(facts["real_time_factor"], 4)])
    systems = [Column("system")] if len(experiments) > 1 else []
    columns = [*systems, Column("set"), Column("decoding"), Column("audio (s)", True), Column("real-time factor", True, "seconds of work per second")]
    return Table("speed", "Decoding speed", columns, rows) if rows else None


def comparisons(experiments: Sequence[Experiment]) -> Table | None:
    """The first experiment against each other one with the same search, its searches against each other, and the comparisons in its folder."""
    first, *others = experiments
    rows = [row for other in others for a, b in product(other.shown, first.shown) if _same(a, b) for row in _compared(a, b, a.system, b.system)]
    rank = {mode: -place for place, mode in enumerate(STRONGEST)}
    for a, b in product(first.shown, first.shown):
        if (a.set, a.unit) == (b.set, b.unit) and rank.get(a.decoding, -9) < rank.get(b.decoding, -9):
            rows += _compared(a, b, a.decoding, b.decoding)
    rows += [_read(path) for path in sorted(first.folder.glob("**/comparison.json")) if "former" not in path.relative_to(first.folder).parts]
    columns = [
        Column("set"), Column("decoding"), Column("measure"), Column("A"), Column("B"), Column("A (%)", True), Column("B (%)", True),
        Column("B − A", True), Column("95 % interval", True), Column("P(B better)", True, "share of bootstrap samples in which B makes fewer errors"),
        Column("verdict"),
    ]  # fmt: skip
    note = "Paired bootstrap over utterances (Bisani and Ney 2004): every sample has the same utterances of both systems."
    return Table("comparisons", "Comparison of systems", columns, rows, note) if rows else None


def _same(a: Scored, b: Scored) -> bool:
    return (a.set, a.decoding, a.unit) == (b.set, b.decoding, b.unit)


def _compared(a: Scored, b: Scored, name_a: str, name_b: str) -> list[list[Cell]]:
    """A row, or none for other utterances or too few of them."""
    one, two = a.utterances, b.utterances
    if one.ids != two.ids or len(one.ids) < 2 or not np.array_equal(one.ref_units > 0, two.ref_units > 0) or not one.ref_units.any():
        return []
    difference, interval, better = paired((one.errors, one.ref_units), (two.errors, two.ref_units))
    rates = [100 * int(side.errors.sum()) / int(side.ref_units.sum()) for side in (one, two)]
    decoding = a.decoding if a.decoding == b.decoding else f"{a.decoding}, {b.decoding}"
    return [_cells(a.set, decoding, a.measure, name_a, name_b, rates, difference, interval, better)]


def _read(path: Path) -> list[Cell]:
    """The row of a comparison.json of compare_systems."""
    facts = read_facts(path, "compare_systems")
    a, b = (str(facts.get(f"hyp_{side}", side.upper())) for side in "ab")
    rates = [facts["error_rate_a"], facts["error_rate_b"]]
    measure = "WER" if facts["unit"] == "word" else "CER"
    return _cells(path.parent.name, DASH, measure, a, b, rates, facts["delta"], facts["delta_ci95"], facts["probability_of_improvement"])


def _cells(
    name: str, decoding: str, measure: str, a: str, b: str, rates: Sequence[float | None], difference: float | None,
    interval: Sequence[float] | None, better: float | None,
) -> list[Cell]:  # fmt: skip
    shown = Cell(DASH, 0.0) if difference is None else Cell(f"{difference:+.2f}", difference)
    verdict = UNDECIDED
    if interval and (interval[1] < 0 or interval[0] > 0):
        verdict = f"{b if interval[1] < 0 else a} is better"
    texts = (Cell(text) for text in (name, decoding, measure, a, b))
    return [*texts, number(rates[0]), number(rates[1]), shown, span(interval, difference, 0, True), number(better, 3), Cell(verdict)]
