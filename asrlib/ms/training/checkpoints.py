"""The checkpoints of a run: the best by validation WER are kept, the best few averaged."""

import json
import math
from pathlib import Path

from mindspore import nn

from asrlib.ms.checkpoint.weights import average, network_arrays
from asrlib.utils.arrays import save_arrays
from asrlib.utils.files import atomic_write


class Checkpoints:
    """exp_dir/checkpoints: epoch-N.safetensors and index.json with their scores."""

    def __init__(self, exp_dir: Path, keep: int):
        self.folder, self.keep = exp_dir / "checkpoints", keep
        self.index = self.folder / "index.json"

    def rows(self) -> list[dict]:
        """epoch, wer, loss of the checkpoints kept, best first; equal WER: lower loss first."""
        rows = json.loads(self.index.read_text()) if self.index.exists() else []
        return sorted((row for row in rows if self.path(row["epoch"]).exists()), key=lambda row: (row["wer"], row["loss"]))

    def path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:03d}.safetensors"

    def save(self, network: nn.Cell, epoch: int, wer: float, loss: float) -> None:
        """Adds the weights of an epoch and removes what is no longer among the best `keep`."""
        save_arrays(self.path(epoch), network_arrays(network), {"epoch": str(epoch)})
        row = {"epoch": epoch, "wer": wer, "loss": loss if math.isfinite(loss) else math.inf}  # nan has no order
        rows = [row for row in self.rows() if row["epoch"] != epoch] + [row]
        rows.sort(key=lambda row: (row["wer"], row["loss"]))
        with atomic_write(self.index) as stream:
            json.dump(rows[: self.keep], stream, indent=1)
        for row in rows[self.keep :]:
            self.path(row["epoch"]).unlink(missing_ok=True)

    def best(self) -> Path:
        return self.path(self.rows()[0]["epoch"])

    def averaged(self, count: int) -> Path:
        """Writes the mean of the `count` best to average.safetensors."""
        files = [self.path(row["epoch"]) for row in self.rows()[:count]]
        path = self.folder / "average.safetensors"
        save_arrays(path, average(files), {"epochs": " ".join(file.stem for file in files)})
        return path
