"""The training loop: updates, validation, checkpoints, and a saved state from which killed runs resume exactly."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mindspore import nn

from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.data.batches import Batch
from asrlib.ms.objectives.base import Objective
from asrlib.ms.training import loss_scale
from asrlib.ms.training.checkpoints import Checkpoints
from asrlib.ms.training.history import History
from asrlib.ms.training.memory_plan import Parts
from asrlib.ms.training.optim import Ema, SwapEma
from asrlib.ms.training.parallel import Ranks, rate_factor
from asrlib.ms.training.schedules import learning_rate
from asrlib.ms.training.state import TrainState, load_state, save_state
from asrlib.ms.training.step import TrainStep
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.progress import COMPILING, progress

log = get_logger(__name__)

MAX_SKIPPED = 5  # consecutive updates that were not finite
NAN_ADVICE = "lower optim.learning_rate, set optim.grad_clip (10 is usual), add schedule.warmup_steps, or check the utterances listed above"


class Trainer:
    """Trains a network for an objective and writes everything to exp_dir."""

    def __init__(
        self,
        config: TrainConfig | PretrainConfig,
        network: nn.Cell,
        optimizer: nn.Cell,
        step: TrainStep,
        objective: Objective,
        exp_dir: Path,
        parts: Parts = Parts(),  # noqa: B008  (frozen)
        ranks: Ranks = Ranks(),  # noqa: B008  (frozen)
    ):
        self.config, self.network, self.optimizer, self.step, self.objective = config, network, optimizer, step, objective
        self.exp_dir, self.parts, self.ranks = exp_dir, parts, ranks
        self.swap_ema = SwapEma(optimizer) if isinstance(optimizer, Ema) else None
        self.state = TrainState(data=objective.fingerprint(), loss_scale=loss_scale.start(config.trainer))
        self.history = History(ranks.folder(exp_dir))
        self.checkpoints = Checkpoints(exp_dir, config.trainer.keep_checkpoints)
        self.skipped, self.batches, self.saved = 0, 1, 0.0

    def run(self) -> None:
        """Trains until trainer.epochs or trainer.updates are done, or trainer.patience is exceeded; resumes from the saved state if there is one."""
        load_state(self.exp_dir, self.state, self.network, self.optimizer)
        self.history.rewind(self.state.update, self.state.validated)
        state, trainer = self.state, self.config.trainer
        if state.update:
            log.info("resumed at epoch %d, batch %d, update %d", state.epoch + 1, state.batch, state.update)
        self.network.set_train()
        self.saved = time.monotonic()
        if state.update == 0 and 0 in trainer.keep_updates:
            self.validate()
        with progress(desc="training", total=trainer.updates or None, unit="update", initial=state.update) as bar:
            while not self._finished():
                self._epoch(bar)
        if not self._limit_reached():
            log.info("no better %s for %d %s: stopping", self.objective.score, trainer.patience, trainer.valid_unit)
        self.step.log_resources()

    def save_weights(self, path: Path) -> None:
        """Writes the weights, or their moving average if trainer.ema is set."""
        if self.swap_ema is not None:
            self.swap_ema()
        save_arrays(path, network_arrays(self.network), {"updates": str(self.state.update)})
        if self.swap_ema is not None:
            self.swap_ema()

    def _epoch(self, bar) -> None:
        """Trains for the rest of the current epoch."""
        state, trainer = self.state, self.config.trainer
        self.batches = len(self.objective.loader.plan(state.epoch))
        groups = self._groups()
        if trainer.epochs:
            bar.set_description(f"epoch {state.epoch + 1}/{trainer.epochs}", refresh=False)
            bar.total = trainer.updates or state.update + len(groups) + (trainer.epochs - state.epoch - 1) * self._updates(self.batches)
        for group, numbers in zip(self._loaded(groups), groups, strict=True):
            self._update(group, len(numbers), bar)
            if self._due(epoch_ended=False):
                self.validate()
            if self._finished():
                break
            if time.monotonic() - self.saved > trainer.save_interval:
                self._save_state()
        else:
            state.epoch, state.batch = state.epoch + 1, 0
        if self._due(epoch_ended=state.batch == 0):
            self.validate()
        if trainer.valid_unit == "epochs" or self._finished():
            self._save_state()

    def _groups(self) -> list[range]:
        """The numbers of the batches, of all processes, in each remaining update of the epoch."""
        size, first = self.config.optim.accumulate * self.ranks.size, self.state.batch
        return [range(begin, min(begin + size, self.batches)) for begin in range(first, self.batches, size)]

    def _updates(self, batches: int) -> int:
        """The number of updates from so many batches of an epoch: of it the schedule is a function, however many processes share them."""
        return math.ceil(batches / (self.config.optim.accumulate * self.ranks.size))

    def _loaded(self, groups: list[range]) -> Iterator[list[tuple[Batch, bool]]]:
        """This process's batches of each update, and whether they count."""
        own = [self.ranks.own_batches(group) for group in groups]
        batches = self.objective.loader.epoch(self.state.epoch, numbers=[number for mine in own for number, _ in mine])
        try:
            for mine in own:
                yield [(next(batches), counts) for _, counts in mine]
        finally:
            batches.close()

    def _update(self, group: list[tuple[Batch, bool]], count: int, bar) -> None:
        """group: this process's batches of an update and whether they count; count: number of batches of all processes."""
        state, config = self.state, self.config
        trainer, epoch = config.trainer, state.epoch + self._updates(state.batch) / self._updates(self.batches)
        rate = learning_rate(config.schedule, config.optim.learning_rate, state.update, epoch, trainer.epochs, trainer.updates)
        rate *= rate_factor(config.optim.scale_rate, self.ranks.size)
        begin, totals, finite, norm = time.perf_counter(), 0.0, True, 0.0
        self.step.loss_scale = state.loss_scale
        units = max(1.0, float(self.ranks.sum(sum(batch.units for batch, counts in group if counts))))
        batches = [(batch.split(self.parts.count(batch)), counts) for batch, counts in group]
        parts = [(part, counts, part is pieces[-1]) for pieces, counts in batches for part in pieces]
        for number, (part, counts, ends) in enumerate(parts, 1):
            counted = part.units if counts else 0
            inputs = part.inputs(counted / units, state.update)
            if self.step.is_new(inputs):
                bar.set_postfix_str(COMPILING.format(" x ".join(map(str, part.shape))), refresh=True)
                self.step.compile(*inputs)
            if len(parts) > 1:
                bar.set_postfix_str(f"batch {number} of {len(parts)} of the update", refresh=time.time() > bar.last_print_t + bar.mininterval)
            metrics, norm, finite = self.step(rate, number == len(parts), *inputs, counts=counts, ends=ends)
            totals += counted / units * metrics
        totals = self.ranks.sum(totals)
        self._check(finite, [batch for batch, _ in group])
        state.update, state.batch = state.update + 1, state.batch + count
        frames = sum(batch.frames for batch, counts in group if counts)
        state.waiting.append([norm, time.perf_counter() - begin, float(frames), *totals.tolist()])
        epoch_ended = trainer.valid_unit == "epochs" and state.batch == self.batches
        if state.update % trainer.log_interval == 0 or epoch_ended or self._limit_reached():
            self._log(rate)
        bar.set_postfix_str(self._postfix(totals, rate), refresh=False)
        bar.update()

    def _postfix(self, totals: np.ndarray, rate: float) -> str:
        shown = [f"loss {totals[0]:.3f}", *(f"{name} {value:.3f}" for name, value in zip(self.objective.metrics[1:2], totals[1:], strict=False))]
        return f"{' '.join(shown)} lr {rate:.2e}"

    def _log(self, rate: float) -> None:
        """Adds a row to the history: means since the last one."""
        norm, seconds, frames, *totals = np.mean(self.state.waiting, axis=0).tolist()
        self.state.waiting.clear()
        row = {"update": self.state.update, "epoch": self._position(), "loss": totals[0], "learning_rate": rate, "grad_norm": norm}
        row |= dict(zip(self.objective.metrics, totals, strict=False)) | {"seconds": seconds, "frames": frames}
        self.history.update(row)
        self._warn(row)

    def _position(self) -> float:
        """Epochs done."""
        return self.state.epoch + self.state.batch / self.batches

    def _check(self, finite: bool, batches: list[Batch]) -> None:
        """Adapts the loss scale. UserError: too many updates in a row were not finite, which a lower scale does not explain."""
        state, former = self.state, self.state.loss_scale
        state.loss_scale, state.finite_updates = loss_scale.adapted(
            former, state.finite_updates, finite, self.config.trainer.loss_scale_window if self.config.trainer.precision == "fp16" else 0
        )
        if not finite and state.loss_scale < former:
            log.warning("update %d skipped: overflow in float16; loss scale %g -> %g", state.update, former, state.loss_scale)
            return
        self.skipped = 0 if finite else self.skipped + 1
        if not finite:
            utts = " ".join(utt for batch in batches for utt in batch.utts)
            log.warning("update %d skipped: its loss or gradient is not finite; utterances %s", state.update, utts)
        if self.skipped >= MAX_SKIPPED:
            raise UserError(
                f"training diverged: {MAX_SKIPPED} updates in a row were not finite: {NAN_ADVICE}; earlier weights: {self.checkpoints.folder}"
            )

    def _due(self, epoch_ended: bool) -> bool:
        """Whether the current weights have to be validated."""
        state, trainer = self.state, self.config.trainer
        if state.validated == state.update:
            return False
        if self._limit_reached() or state.update in trainer.keep_updates:
            return True
        if trainer.valid_unit == "epochs":
            return epoch_ended and state.epoch % trainer.valid_interval == 0
        return state.update % trainer.valid_interval == 0

    def _limit_reached(self) -> bool:
        state, trainer = self.state, self.config.trainer
        return 0 < trainer.updates <= state.update or 0 < trainer.epochs <= state.epoch or trainer.updates == trainer.epochs == 0

    def _finished(self) -> bool:
        return self._limit_reached() or self._out_of_patience()

    def _out_of_patience(self) -> bool:
        state, trainer = self.state, self.config.trainer
        now = state.epoch if trainer.valid_unit == "epochs" else state.update
        return 0 < trainer.patience <= now - state.best_at and state.validated == state.update

    def validate(self) -> None:
        """Scores the weights, or their moving average if trainer.ema is set, and keeps them if they are among the best or in trainer.keep_updates."""
        if self.swap_ema is not None:
            self.swap_ema()
        self._validate()
        if self.swap_ema is not None:
            self.swap_ema()

    def _validate(self) -> None:
        state, trainer = self.state, self.config.trainer
        scores = self.objective.validate(self.network, self.parts, state.update)
        epoch = math.ceil(self._position())
        row = {"epoch": self._position(), "update": state.update, **scores}
        self.history.validation(row)
        log.info("epoch %d, update %d: %s", epoch, state.update, self.objective.summary(row))
        self._warn(row)
        score = scores[self.objective.score]
        score = score if math.isfinite(score) else math.inf
        by_epochs = trainer.valid_unit == "epochs"
        if score < state.best:
            state.best, state.best_at = score, epoch if by_epochs else state.update
        state.validated = state.update
        if self.ranks.rank == 0:
            name = f"epoch-{epoch:03d}" if by_epochs else f"update-{state.update:06d}"
            facts = {"epoch": epoch, "update": state.update, "score": score, "loss": scores["valid_loss"]}
            self.checkpoints.save(name, self.network, facts, pinned=state.update in trainer.keep_updates)
        self.history.draw()

    def _warn(self, row: dict) -> None:
        warning = self.objective.warning(row)
        if warning:
            log.warning("update %d: %s", self.state.update, warning)

    def _save_state(self) -> None:
        if self.ranks.rank == 0:
            save_state(self.exp_dir, self.state, self.network, self.optimizer)
        self.saved = time.monotonic()
