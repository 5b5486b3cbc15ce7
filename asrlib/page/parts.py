"""What sections of the page are made of: tables, charts, and numbers as they are shown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DASH = "–"
MOST_POINTS = 1000  # of a curve


class Cell(NamedTuple):
    """text: as shown; value: what it is sorted by, None: the text; interval: (low, middle, high, end of the scale), drawn beside the text."""

    text: str
    value: float | None = None
    interval: tuple[float, float, float, float] | None = None


class Column(NamedTuple):
    """number: aligned to the right; title: what the name stands for."""

    name: str
    number: bool = False
    title: str = ""


@dataclass(frozen=True)
class Table:
    """name: its id in the page; searched: whether there is a field to filter its rows."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    searched: bool = False


@dataclass(frozen=True)
class Series:
    """A curve, or bars if the chart has labels. low, high: intervals. kind: line, faint (behind the others) or points (a line with marks)."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    kind: str = "line"
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None


@dataclass(frozen=True)
class Chart:
    """x, y: names of the axes. labels: names of the bars; the x of their series are their numbers. log: a logarithmic y axis."""

    name: str
    title: str
    x: str
    y: str
    series: Sequence[Series]
    log: bool = False
    zero: bool = False
    labels: Sequence[str] = field(default_factory=tuple)

    def data(self) -> dict[str, Any]:
        """What the script reads: JSON has neither NaN nor infinity, so they become null."""
        series = [
            {"name": one.name, "kind": one.kind, "x": _finite(one.x), "y": _finite(one.y), "low": _finite(one.low), "high": _finite(one.high)}
            for one in self.series
        ]
        return {"x": self.x, "y": self.y, "log": self.log, "zero": self.zero, "labels": list(self.labels), "series": series}


def _finite(values: Iterable[float | None] | None) -> list[float | None] | None:
    return None if values is None else [value if value is not None and math.isfinite(value) else None for value in values]


def number(value: float | None, digits: int = 1, unit: str = "") -> Cell:
    """A number with this many decimals; a dash for None."""
    return Cell(DASH, -1.0) if value is None or not math.isfinite(value) else Cell(f"{value:,.{digits}f}{unit}", value)


def count(value: int) -> Cell:
    return Cell(f"{value:,}", value)


def exponent(value: float | None) -> Cell:
    """A number with three digits, in the notation that suits its size."""
    return Cell(DASH, -1.0) if value is None or not math.isfinite(value) else Cell(f"{value:.3g}", value)


def span(interval: Sequence[float] | None, middle: float | None, end: float, signed: bool = False) -> Cell:
    """An interval in words and, if the scale from 0 to `end` is given, drawn on it."""
    if interval is None or middle is None:
        return Cell(DASH, -1.0)
    low, high = interval
    text = f"{low:+.1f} to {high:+.1f}" if signed else f"{low:.1f} to {high:.1f}"
    return Cell(text, middle, (low, middle, high, end) if end > 0 else None)
