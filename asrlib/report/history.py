"""Rows of a run's history.jsonl: means of the updates between two lines of the log, and validations."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

PLACE = ("update", "epoch", "seconds", "frames")  # columns that say where and when


def history_rows(exp_dir: Path) -> Iterator[dict]:
    """The rows of a run's history.jsonl: updates have "loss", validations "valid_loss"; skips an incomplete last line of a killed run."""
    path = exp_dir / "history.jsonl"
    if not path.exists():
        return
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return


def thinned(rows: Iterable[dict], most: int = 20_000) -> list[dict]:
    """Rows to plot: means of neighbouring updates, about `most` at most (of fewer all), and every validation."""
    updates, others, size = list[dict](), list[dict](), 1
    waiting = list[dict]()
    for row in rows:
        if "loss" not in row:
            others.append(row)
            continue
        waiting.append(row)
        if len(waiting) == size:
            updates.append(_mean(waiting))
            waiting = []
        if len(updates) > most and len(updates) % 2 == 0:
            updates = [_mean(updates[i : i + 2]) for i in range(0, len(updates), 2)]
            size *= 2
    return [*updates, *([_mean(waiting)] if waiting else []), *others]


def _mean(rows: list[dict]) -> dict:
    """The mean of each column over the rows in which it is finite; the place is that of the last row."""
    if len(rows) == 1:
        return rows[0]
    found = dict(rows[-1])
    for name in found.keys() - set(PLACE):
        values = [row[name] for row in rows if name in row and math.isfinite(row[name])]
        found[name] = sum(values) / len(values) if values else found[name]
    return found
