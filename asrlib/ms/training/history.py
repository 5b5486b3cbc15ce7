"""Metrics of a run: history.jsonl, TensorBoard events and the loss curve."""

import json
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from asrlib.report.plots import plot_history, plot_pretraining
from asrlib.utils.files import atomic_write
from asrlib.utils.memory import GB, peak_memory

PLACE = ("update", "epoch", "seconds", "frames")  # columns that are not written to TensorBoard


def read_history(exp_dir: Path) -> list[dict]:
    """`history_rows`, all at once."""
    return list(history_rows(exp_dir))


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


class History:
    """Appends rows to exp_dir/history.jsonl and scalars to exp_dir/tensorboard; draws exp_dir/images/training.png."""

    def __init__(self, exp_dir: Path):
        self.exp_dir, self.path = exp_dir, exp_dir / "history.jsonl"
        self.events = EventFileWriter(str(exp_dir / "tensorboard"))

    def rewind(self, update: int, validated: int) -> None:
        """Removes rows of updates and validations after the state that training resumes from: they will be written again."""
        rows = (row for row in history_rows(self.exp_dir) if row["update"] <= (update if "loss" in row else validated))
        with atomic_write(self.path) as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)

    def update(self, row: dict) -> None:
        """Adds a row of updates."""
        self._add(row)

    def validation(self, row: dict) -> None:
        """Adds a row of a validation, with the peak memory of the process."""
        self._add(row | {"peak_memory_gb": round(peak_memory() / GB, 3)})

    def draw(self) -> None:
        rows = thinned(history_rows(self.exp_dir))
        plot = plot_pretraining if any("valid_accuracy" in row for row in rows) else plot_history
        plot(rows, self.exp_dir / "images" / "training.png")

    def _add(self, row: dict) -> None:
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        values = [Summary.Value(tag=tag, simple_value=row[tag]) for tag in row if tag not in PLACE]
        self.events.add_event(Event(wall_time=time.time(), step=row["update"], summary=Summary(value=values)))
        self.events.flush()
