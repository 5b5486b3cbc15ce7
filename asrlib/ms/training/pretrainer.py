"""The pretraining loop: updates, validation, and a state from which a killed run goes on exactly."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn

from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.data.waveforms import ContrastiveBatch, MaskedBatch, PretrainLoader
from asrlib.ms.objectives.base import AmongNegatives, Masked
from asrlib.ms.training.history import History, read_history
from asrlib.ms.training.memory_plan import Parts
from asrlib.ms.training.parallel import Ranks
from asrlib.ms.training.schedules import learning_rate
from asrlib.ms.training.state import TrainState, load_state, save_state
from asrlib.ms.training.step import TrainStep
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.progress import COMPILING, progress

log = get_logger(__name__)

BEST = "checkpoints/best.safetensors"  # the weights of the lowest validation loss
MAX_SKIPPED = 5  # updates in a row that were not finite
NAN_ADVICE = "lower optim.learning_rate, set optim.grad_clip, lengthen schedule.warmup_steps, or look at the utterances named above"


class Pretrainer:
    """Pretrains a network; everything it learns of itself goes to exp_dir."""

    def __init__(
        self,
        config: PretrainConfig,
        network: nn.Cell,
        optimizer: nn.Cell,
        step: TrainStep,
        objective: Masked | AmongNegatives,
        loaders: tuple[PretrainLoader, PretrainLoader],
        exp_dir: Path,
        parts: Parts = Parts(),  # noqa: B008  (frozen)
        ranks: Ranks = Ranks(),  # noqa: B008  (frozen)
    ):
        self.ranks, self.parts = ranks, parts
        self.config, self.network, self.optimizer, self.step, self.objective = config, network, optimizer, step, objective
        self.valid_loss = objective.loss(network).set_train(False)
        network.set_train()
        self.loader, self.valid_loader = loaders
        self.statistics = objective.statistics(self.valid_loader.dataset)
        self.exp_dir = exp_dir
        self.state = TrainState(data=" ".join(loader.dataset.fingerprint() for loader in loaders))
        self.history = History(exp_dir if ranks.rank == 0 else exp_dir / "ranks" / str(ranks.rank))
        self.waiting: list[np.ndarray] = []  # metrics of the updates since the last row
        self.skipped = 0

    def run(self) -> None:
        """Trains for config.trainer.updates updates; goes on from the saved state if there is one."""
        load_state(self.exp_dir, self.state, self.network, self.optimizer)
        self.history.rewind(self.state.update, self.state.epoch)
        trainer, state = self.config.trainer, self.state
        if state.update:
            log.info("resumed at update %d", state.update)
        saved = time.monotonic()
        if state.update == 0 and 0 in trainer.keep_updates:
            self._keep(self.validate(), True)  # what a random start is worth
        with progress(desc="pretraining", total=trainer.updates, unit="update", initial=state.update) as bar:
            for group in self._groups():
                self._update(group, bar)
                kept = state.update in trainer.keep_updates
                if kept or state.update % trainer.valid_interval == 0 or state.update == trainer.updates:
                    self._keep(self.validate(), kept)
                if time.monotonic() - saved > trainer.save_interval or state.update == trainer.updates:
                    self._save_state()
                    saved = time.monotonic()
        self.step.log_resources()

    def _groups(self) -> Iterator[list[tuple[MaskedBatch | ContrastiveBatch, bool]]]:
        """The batches of each update that is left to do, those of this process, epoch after epoch; moves state.epoch and state.batch on.

        With each batch stands whether it counts: at the end of an epoch there may be fewer than processes, and those without one compute another's for nothing.
        """
        state, ranks = self.state, self.ranks
        size = self.config.optim.accumulate * ranks.size
        while state.update < self.config.trainer.updates:
            numbers = range(state.batch, len(self.loader.plan(state.epoch)))
            groups = [numbers[i : i + size] for i in range(0, len(numbers), size)]
            own = [[(group[i + ranks.rank], True) if i + ranks.rank < len(group) else (group[i], False) for i in range(0, len(group), ranks.size)] for group in groups]
            batches = self.loader.epoch(state.epoch, numbers=[number for group in own for number, _ in group])
            for group, mine in zip(groups, own, strict=True):
                if state.update >= self.config.trainer.updates:
                    break
                state.batch += len(group)
                yield [(next(batches), counts) for _, counts in mine]
            else:
                state.epoch, state.batch = state.epoch + 1, 0
            batches.close()

    def _update(self, group: list[tuple[MaskedBatch | ContrastiveBatch, bool]], bar) -> None:
        state, config = self.state, self.config
        rate = learning_rate(config.schedule, config.optim.learning_rate, state.update, 0.0, 1, config.trainer.updates)
        masked = float(self.ranks.sum(sum(batch.units for batch, counts in group if counts)))
        begin, totals = time.perf_counter(), 0.0
        parts = [(part, counts) for batch, counts in group for part in batch.split(self.parts.of(batch.wavs))]
        for number, (part, counts) in enumerate(parts, 1):
            share = part.units / masked if counts else 0.0
            inputs = part.inputs(share, state.update)
            if self.step.is_new(inputs):
                bar.set_postfix_str(COMPILING.format(" x ".join(map(str, part.wavs.shape))), refresh=True)
            metrics, norm, finite = self.step(rate, number == len(parts), *inputs)
            totals += share * metrics
        totals = self.ranks.sum(totals)
        self._check(finite, [batch for batch, _ in group])
        state.update += 1
        self.waiting.append(np.array([*totals, norm, time.perf_counter() - begin]))
        if state.update % config.trainer.log_interval == 0 or state.update == config.trainer.updates:
            self._log(rate)
        bar.set_postfix_str(f"loss {totals[0]:.3f} accuracy {totals[1]:.3f} lr {rate:.2e}", refresh=False)
        bar.update()

    def _log(self, rate: float) -> None:
        """A row of the means since the last one."""
        *totals, norm, seconds = np.mean(self.waiting, axis=0).tolist()
        self.waiting.clear()
        row = {"update": self.state.update, "epoch": self.state.epoch, "loss": totals[0], "learning_rate": rate, "grad_norm": norm}
        row |= dict(zip(self.objective.metrics, totals, strict=False)) | {"seconds": seconds}
        self.history.update(row, flush=True)
        warning = self.objective.warning(row)
        if warning:
            log.warning("update %d: %s", self.state.update, warning)

    def _check(self, finite: bool, group: list[MaskedBatch | ContrastiveBatch]) -> None:
        self.skipped = 0 if finite else self.skipped + 1
        if not finite:
            utts = " ".join(utt for batch in group for utt in batch.utts)
            log.warning("update %d left out: its loss or gradient is not finite; utterances %s", self.state.update, utts)
        if self.skipped >= MAX_SKIPPED:
            raise UserError(f"training diverged: {MAX_SKIPPED} updates in a row were not finite: {NAN_ADVICE}")

    def validate(self) -> dict[str, float]:
        """Loss and accuracy of the masked frames of the validation set, with the same masks every time."""
        self.network.set_train(False)
        totals, masked = np.zeros(1), 0
        batches = (part for batch in self.valid_loader.epoch(0) for part in batch.split(self.parts.of(batch.wavs)))
        for batch in batches:
            _, metrics = self.valid_loss(*(Tensor(x) for x in batch.inputs(1.0, self.state.update)))
            totals, masked = totals + batch.units * metrics.asnumpy(), masked + batch.units
        self.network.set_train(True)
        loss, accuracy, *others = (totals / max(1, masked)).tolist()
        names = [f"valid_{name}" for name in self.objective.metrics[2:]]
        row = {"valid_loss": loss, "valid_accuracy": accuracy} | self.statistics | dict(zip(names, others, strict=False))
        self.history.validation({"epoch": self.state.epoch, "update": self.state.update} | row)
        log.info("update %d: valid loss %.3f accuracy %.1f %% (%s)", self.state.update, loss, 100 * accuracy, self.objective.remark(row))
        self.history.draw()
        return row

    def _keep(self, row: dict[str, float], named: bool) -> None:
        """Keeps the weights under the update's number if it is named in the configuration, and as the best ones if no loss was lower so far."""
        if self.ranks.rank != 0:
            return
        facts = {"updates": str(self.state.update), "valid_loss": repr(row["valid_loss"])}
        folder = self.exp_dir / "checkpoints"
        if named:
            save_arrays(folder / f"update-{self.state.update:06d}.safetensors", network_arrays(self.network), facts)
        losses = [earlier["valid_loss"] for earlier in read_history(self.exp_dir) if "valid_loss" in earlier]
        if row["valid_loss"] <= min(losses):
            save_arrays(self.exp_dir / BEST, network_arrays(self.network), facts)

    def _save_state(self) -> None:
        if self.ranks.rank == 0:
            save_state(self.exp_dir, self.state, self.network, self.optimizer)
        self.history.flush()
