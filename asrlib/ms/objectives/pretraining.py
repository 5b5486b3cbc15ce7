"""The common base of masked prediction and the contrastive task: waveforms, and validation by the loss of masked frames."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn

from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.masked import MaskedLoader
from asrlib.ms.data.waveforms import Targets, WaveformSet, make_buckets
from asrlib.ms.objectives.base import Objective, Split


class Pretraining(Objective):
    """Pretraining on masked frames of waveforms."""

    loader_type: type[MaskedLoader]

    def __init__(self, config: PretrainConfig, train_set: WaveformSet, valid_set: WaveformSet):
        super().__init__(config, train_set, valid_set)
        self.valid_loss: nn.Cell | None = None
        self.statistics: dict[str, float] = {}  # of the validation set; added to every validation in the history

    @classmethod
    def from_dirs(cls, config: PretrainConfig, train_dir: Path, valid_dir: Path, targets: tuple[Path, Path] | None, name: str) -> "Pretraining":
        """The objective for two data directories and the folders of their targets. name: of the clusters.

        Sets model_conf.num_speakers if the model has a speaker head. UserError: data or targets are missing or damaged.
        """
        sets = []
        for i, folder in enumerate((train_dir, valid_dir)):
            found = Targets.read(targets[i], name, config, train=i == 0) if targets else None
            if i == 0 and config.uses_speakers:
                config.model_conf.num_speakers = found.num_speakers
            sets.append(WaveformSet(folder, found, config, train=i == 0))
        return cls(config, *sets)

    def loaders(self) -> tuple[MaskedLoader, MaskedLoader]:
        """See Objective."""
        batch, seed = self.config.batch, self.config.trainer.seed
        train, valid = (
            self.loader_type(data, make_buckets(data), seed, shuffle=data.train, prefetch=batch.prefetch) for data in (self.train_set, self.valid_set)
        )
        return train, valid

    def shapes(self) -> list[tuple[int, int]]:
        """Rows and samples."""
        model = self.config.model_conf
        return [(bucket.batch_size, model.samples(bucket.frames)) for loader in (self.loader, self.valid_loader) for bucket in loader.buckets]

    def validate(self, network: nn.Cell, split: Split, update: int) -> dict[str, float]:
        """valid_loss, valid_accuracy and the other metrics: means over the masked frames of the validation set, with the same masks every time."""
        if self.valid_loss is None:
            self.valid_loss = self.loss(network)
        self.valid_loss.set_train(False)
        totals, masked = np.zeros(1), 0
        for batch in self.valid_parts(split):
            _, metrics = self.valid_loss(*(Tensor(x) for x in batch.inputs(1.0, update)))
            totals, masked = totals + batch.units * metrics.asnumpy(), masked + batch.units
        network.set_train(True)
        loss, accuracy, *others = (totals / max(1, masked)).tolist()
        names = [f"valid_{name}" for name in self.metrics[2:]]
        return {"valid_loss": loss, "valid_accuracy": accuracy} | self.statistics | dict(zip(names, others, strict=False))

    def summary(self, row: Mapping[str, float]) -> str:
        """See Objective."""
        return f"valid loss {row['valid_loss']:.3f} accuracy {100 * row['valid_accuracy']:.1f} %"
