"""The interface between the training loop and a task."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from mindspore import nn

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.batches import Batch, BatchLoader
from asrlib.ms.data.dataset import Dataset
from asrlib.ms.data.waveforms import WaveformSet
from asrlib.utils.progress import progress


class Split(Protocol):
    """In how many parts each batch is computed (asrlib.ms.training.memory_plan)."""

    def count(self, batch: Batch) -> int: ...


class Objective:
    """Loss, batches, validation and metrics of a task.

    A subclass makes the data sets, the loaders and the loss. The loss is a cell: inputs of a batch -> its share of the update's loss (), and
    metrics (K,), of which the first is the loss, as means over the batch.
    """

    vocab_size = 0  # outputs of the network; 0: as in its configuration
    metrics: tuple[str, ...] = ()  # names of the metrics in the history; empty: only the loss
    score = "valid_loss"  # column of a validation that ranks checkpoints, lower is better; ties: valid_loss

    def __init__(self, config: TrainConfig | PretrainConfig, train_set: Dataset | WaveformSet, valid_set: Dataset | WaveformSet):
        self.config, self.train_set, self.valid_set = config, train_set, valid_set
        self.loader: BatchLoader
        self.valid_loader: BatchLoader

    def prepare(self, folder: Path) -> None:
        """Makes the loaders and skips unusable utterances, listed in folder/set_aside.{train,valid}.tsv. UserError: no utterance is left."""
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

    def valid_parts(self, split: Split) -> Iterator[Batch]:
        """The parts of the validation set's batches in which there are utterances; shows progress if that takes longer than ten seconds."""
        batches = progress(self.valid_loader.epoch(0), "validation", len(self.valid_loader.plan(0)), "batch", delay=10, leave=False)
        return (part for batch in batches for part in batch.split(split.count(batch)) if part.utts)

    def validate(self, network: nn.Cell, split: Split, update: int) -> dict[str, float]:
        """Columns of the history: valid_loss and others, those of `score` among them."""
        raise NotImplementedError

    def summary(self, row: Mapping[str, float]) -> str:
        """A validation as text for the log."""
        raise NotImplementedError

    def warning(self, row: Mapping[str, float]) -> str:
        """A warning with advice if a row of the history shows a collapse; else empty."""
        return ""

    def fingerprint(self) -> str:
        """Digests of the data."""
        return f"{self.train_set.fingerprint()} {self.valid_set.fingerprint()}"

    def save(self, exp_dir: Path) -> None:
        """Writes the files that a model needs besides its weights and configuration."""
