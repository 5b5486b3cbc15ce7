"""What a network is trained for: the seam between the training loop and a task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mindspore import nn

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.batches import Batch, BatchLoader
from asrlib.ms.data.dataset import Dataset
from asrlib.ms.data.waveforms import WaveformSet


class Split(Protocol):
    """How many parts a batch is computed in (asrlib.ms.training.memory_plan)."""

    def of(self, batch: Batch) -> int: ...


class Objective:
    """Loss, batches, validation and metrics of a task.

    A subclass makes the data sets and loaders, and the loss: a cell from a batch's inputs to its share of an update's loss () and numbers to report (K,),
    the loss first, as means over the batch.
    """

    vocab_size = 0  # outputs of the network; 0: those of its configuration
    metrics: tuple[str, ...] = ()  # names of the numbers that the loss reports, for the history; empty: the loss alone
    score = "valid_loss"  # what a validation is better with less of; equal: the lower valid_loss

    def __init__(self, config: TrainConfig | PretrainConfig, train_set: Dataset | WaveformSet, valid_set: Dataset | WaveformSet):
        self.config, self.train_set, self.valid_set = config, train_set, valid_set
        self.loader: BatchLoader
        self.valid_loader: BatchLoader

    def prepare(self, folder: Path) -> None:
        """Sets aside what cannot be trained on, with reasons in folder/set_aside.{train,valid}.tsv, and makes the loaders. UserError: nothing is left."""
        self.train_set.set_aside(folder / "set_aside.train.tsv")
        self.valid_set.set_aside(folder / "set_aside.valid.tsv")
        self.loader, self.valid_loader = self.loaders()

    def loaders(self) -> tuple[BatchLoader, BatchLoader]:
        """Batches of the training set and of the validation set."""
        raise NotImplementedError

    def shapes(self) -> list[tuple[int, int]]:
        """Rows and padded length of all batches."""
        raise NotImplementedError

    def loss(self, network: nn.Cell) -> nn.Cell:
        """The network with its loss."""
        raise NotImplementedError

    def whole(self, units: float, missing: float) -> float:
        """Units that the mean loss of an update is taken over. units: of its batches; missing: share of its batches that an epoch's end has left out."""
        return units

    def validate(self, network: nn.Cell, split: Split, update: int) -> dict[str, float]:
        """Columns of the history: valid_loss and others, those of `score` among them."""
        raise NotImplementedError

    def remark(self, row: Mapping[str, float]) -> str:
        """A validation for the log."""
        raise NotImplementedError

    def warning(self, row: Mapping[str, float]) -> str:
        """Collapse that a row of the history shows, with advice; empty: none."""
        return ""

    def fingerprint(self) -> str:
        """Digests of the data."""
        return f"{self.train_set.fingerprint()} {self.valid_set.fingerprint()}"

    def save(self, exp_dir: Path) -> None:
        """Writes what belongs to a model besides its weights and configuration."""
