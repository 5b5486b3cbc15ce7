"""The report of a sweep: one row per system, the curve, and every system against a baseline."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from asrlib.config.systems import NONE, System
from asrlib.report.baselines import COLUMNS as COMPARED
from asrlib.report.baselines import compared, read_score
from asrlib.report.plots import save_figure
from asrlib.report.provenance import provenance
from asrlib.report.tables import markdown
from asrlib.score.error_rate import Score
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

Scores = dict[str, dict[str, Score]]  # system -> set -> score
KIND = {"char": "CER", "word": "WER"}


def write_sweep(
    systems: Sequence[System],
    out: Path,
    sets: Sequence[str],
    mode: str,
    unit: str = "char",
    axis: str = "updates",
    baseline: str = "",
    command: str = "",
    published: Path | None = None,
) -> Path:
    """Writes OUT/{RESULTS.md,sweep.tsv,sweep.png} and returns the first. UserError: a system was not decoded, the baseline is not a system."""
    if baseline and baseline not in [system.name for system in systems]:
        raise UserError(f"--baseline {baseline}: no such system: choose one of {' '.join(system.name for system in systems)}")
    scores = {system.name: {name: _read(system, name, mode, unit) for name in sets} for system in systems}
    kind = KIND[unit]
    facts = [f"- {name}: {value}" for name, value in provenance(systems[0].exp_dir, command).items()]
    parts = ["# RESULTS", "## Environment", "\n".join(facts)]
    parts += [f"## {kind} ({mode}) of {len(systems)} fine-tunings", sweep_table(systems, scores, axis, kind)]
    parts += ["\n".join(f"- {line}" for line in findings(systems, scores, axis, kind, baseline)), f"![{kind} against {axis}](sweep.png)"]
    if baseline:
        rows = [
            [system.name, *compared(name, unit, baseline, scores[baseline][name], scores[system.name][name], 2)]
            for system in systems if system.name != baseline for name in sets
        ]  # fmt: skip
        parts += [f"### Compared with {baseline}", markdown(("system", *COMPARED), rows)]
    if published:
        parts += ["### Published by others, not made here", published.read_text(encoding="utf-8").strip()]
    plot_sweep(systems, scores, axis, kind, out / "sweep.png")
    with atomic_write(out / "sweep.tsv") as stream:
        stream.writelines("\t".join(row) + "\n" for row in sweep_rows(systems, scores, axis))
    with atomic_write(out / "RESULTS.md") as stream:
        stream.write("\n\n".join(parts) + "\n")
    return out / "RESULTS.md"


def sweep_table(systems: Sequence[System], scores: Scores, axis: str, kind: str) -> str:
    """The Markdown table: a star marks the lowest validation loss, bold type the lowest error rate of each set."""
    sets = list(scores[systems[0].name])
    best, lowest = {name: _best(systems, scores, name) for name in sets}, _lowest_loss(systems)
    columns = ("system", axis, "valid loss", *(f"{name} {what}" for name in sets for what in (kind, "95 %")))
    rows = []
    for system in systems:
        position, loss = system.position(axis), system.valid_loss
        row = [system.name, _number(position) + ("*" if system is lowest else ""), NONE if loss is None else f"{loss:.4f}"]
        for name in sets:
            score = scores[system.name][name]
            rate = NONE if score.counts.error_rate is None else f"{score.counts.error_rate:.2f}"
            row += [f"**{rate}**" if system is best[name] else rate, "{:.2f} to {:.2f}".format(*score.ci95) if score.ci95 else NONE]
        rows.append(row)
    return markdown(columns, rows) + ("\n\n\\* lowest validation loss of pretraining" if lowest else "")


def sweep_rows(systems: Sequence[System], scores: Scores, axis: str) -> list[list[str]]:
    """Rows of sweep.tsv, the first with the names of the columns; "-" for unknown values."""
    sets = list(scores[systems[0].name])
    rows = [["system", axis, "valid_loss", *(f"{name}_{what}" for name in sets for what in ("error_rate", "low", "high", "errors", "units"))]]
    for system in systems:
        row = [system.position(axis), system.valid_loss]
        for name in sets:
            score = scores[system.name][name]
            row += [score.counts.error_rate, *(score.ci95 or (None, None)), score.counts.errors, score.counts.ref_units]
        rows.append([system.name, *(NONE if value is None else str(value) for value in row)])
    return rows


def findings(systems: Sequence[System], scores: Scores, axis: str, kind: str, baseline: str) -> list[str]:
    """A sentence per set: the lowest error rate, that of the lowest validation loss, and the first system better than the baseline."""
    lines, lowest = [], _lowest_loss(systems)
    for name in scores[systems[0].name]:
        best = _best(systems, scores, name)
        line = f"{name}: lowest {kind} {_rate(scores, best, name):.2f} of {best.name}"
        if lowest:
            other = f"; {lowest.name}, which has the lowest validation loss, has {_rate(scores, lowest, name):.2f}"
            line += ", which has the lowest validation loss" if best is lowest else other
        if baseline:
            level = _error_rate(scores[baseline][name])
            below = [system for _, system in _along(systems, axis) if system.name != baseline and _rate(scores, system, name) < level]
            first = f"the first below it along {axis} is {below[0].name}" if below else f"none along {axis} is below it"
            line += f"; {baseline} has {level:.2f}, {first}"
        lines.append(line)
    return lines


def plot_sweep(systems: Sequence[System], scores: Scores, axis: str, kind: str, path: Path) -> None:
    """Error rates with intervals and, on the right y axis, the validation loss; systems without a value on the x axis are horizontal lines."""
    figure, left = plt.subplots(figsize=(8, 5), layout="constrained")
    along = _along(systems, axis)
    places = [place for place, _ in along]
    for name, color in zip(scores[systems[0].name], map(plt.get_cmap("tab10"), range(10)), strict=False):
        found = [scores[system.name][name] for _, system in along]
        rates = [_error_rate(score) for score in found]
        bounds = [score.ci95 or (rate, rate) for score, rate in zip(found, rates, strict=True)]
        below = [rate - low for rate, (low, _) in zip(rates, bounds, strict=True)]
        above = [high - rate for rate, (_, high) in zip(rates, bounds, strict=True)]
        left.errorbar(places, rates, yerr=[below, above], fmt="o-", color=color, capsize=3, markersize=4, label=f"{name} {kind}")
        for system in systems:
            if system.position(axis) is None:
                left.axhline(_rate(scores, system, name), color=color, linestyle="--", linewidth=1, label=f"{name}, {system.name}")
    left.set(xlabel=axis, ylabel=f"{kind} (%)", title=f"{kind} against {axis}")
    if axis != "updates":
        left.set_xscale("log")
    losses = [(place, system.valid_loss) for place, system in along if system.valid_loss is not None]
    if axis == "updates" and losses:
        right = left.twinx()
        right.plot(*zip(*losses, strict=True), "s:", color="gray", markersize=4, label="validation loss of pretraining")
        right.set_ylabel("validation loss of pretraining", color="gray")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    left.grid(alpha=0.3)
    save_figure(figure, path)


def _read(system: System, name: str, mode: str, unit: str) -> Score:
    result = system.exp_dir / f"decode_{mode}" / name / f"score_{unit[0]}er" / "result.json"
    if not result.is_file():
        raise UserError(f"{result} is missing: decode and score system {system.name} (stage 6)")
    score, _ = read_score(result)
    if score.counts.error_rate is None:
        raise UserError(f"{result}: the references of {name} are empty: check its text file and score again")
    return score


def _rate(scores: Scores, system: System, name: str) -> float:
    return _error_rate(scores[system.name][name])


def _error_rate(score: Score) -> float:
    assert score.counts.error_rate is not None  # _read refuses such a score
    return score.counts.error_rate


def _best(systems: Sequence[System], scores: Scores, name: str) -> System:
    return min(systems, key=lambda system: _rate(scores, system, name))


def _lowest_loss(systems: Sequence[System]) -> System | None:
    """The system with the lowest validation loss; None unless the systems have different ones."""
    known = [(system.valid_loss, system) for system in systems if system.valid_loss is not None]
    return min(known, key=lambda pair: pair[0])[1] if len({loss for loss, _ in known}) > 1 else None


def _along(systems: Sequence[System], axis: str) -> list[tuple[float, System]]:
    """The systems that have a value on the axis, with it, sorted by it."""
    places = [(place, system) for system in systems if (place := system.position(axis)) is not None]
    return sorted(places, key=lambda pair: pair[0])


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:,}" if isinstance(value, int) else f"{value:g}"
