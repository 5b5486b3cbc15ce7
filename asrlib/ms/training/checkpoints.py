"""The checkpoints of a run: the best by validation, their average, and those that trainer.keep_updates names."""

import json
import math
from pathlib import Path

from mindspore import nn

from asrlib.ms.checkpoint.weights import average, network_arrays
from asrlib.utils.arrays import save_arrays
from asrlib.utils.files import atomic_write


class Checkpoints:
    """exp_dir/checkpoints: NAME.safetensors, and index.json with the scores of each."""

    def __init__(self, exp_dir: Path, keep: int):
        self.folder, self.keep = exp_dir / "checkpoints", keep
        self.index = self.folder / "index.json"

    def rows(self) -> list[dict]:
        """name, epoch, update, score, loss, pinned of the kept checkpoints, best first: by score, then by loss."""
        rows = json.loads(self.index.read_text()) if self.index.exists() else []
        return sorted((row for row in rows if self.path(row["name"]).exists()), key=_order)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def save(self, name: str, network: nn.Cell, facts: dict, pinned: bool = False) -> None:
        """Saves the weights and removes checkpoints that are not among the best `keep`, except pinned ones. facts: epoch, update, score, loss."""
        metadata = {"epoch": str(facts["epoch"]), "updates": str(facts["update"]), "valid_loss": repr(facts["loss"])}
        save_arrays(self.path(name), network_arrays(network), metadata)
        loss = facts["loss"] if math.isfinite(facts["loss"]) else math.inf  # nan cannot be sorted
        rows = [row for row in self.rows() if row["name"] != name] + [{"name": name, **facts, "loss": loss, "pinned": pinned}]
        rows.sort(key=_order)
        kept = [row for i, row in enumerate(rows) if i < self.keep or row["pinned"]]
        with atomic_write(self.index) as stream:
            json.dump(kept, stream, indent=1)
        for row in rows:
            if row not in kept:
                self.path(row["name"]).unlink(missing_ok=True)

    def best(self) -> Path:
        return self.path(self.rows()[0]["name"])

    def averaged(self, count: int) -> Path:
        """Writes the mean of the `count` best to average.safetensors."""
        files = [self.path(row["name"]) for row in self.rows()[:count]]
        path = self.folder / "average.safetensors"
        save_arrays(path, average(files), {"averaged": " ".join(file.stem for file in files)})
        return path


def _order(row: dict) -> tuple[float, float]:
    return row["score"], row["loss"]
