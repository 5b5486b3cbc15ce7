"""Metrics of a run: history.jsonl, TensorBoard events and the loss curve."""

import json
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from asrlib.report.history import PLACE, history_rows, thinned
from asrlib.report.plots import plot_history, plot_pretraining
from asrlib.utils.files import atomic_write
from asrlib.utils.memory import GB, peak_memory


def read_history(exp_dir: Path) -> list[dict]:
    """`history_rows`, all at once."""
    return list(history_rows(exp_dir))


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
        values = [Summary.Value(tag=tag, simple_value=row[tag]) for tag in row if tag not in PLACE]  # not written to TensorBoard
        self.events.add_event(Event(wall_time=time.time(), step=row["update"], summary=Summary(value=values)))
        self.events.flush()
