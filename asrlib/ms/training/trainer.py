"""The training loop: epochs of updates, validation by WER, checkpoints, and a state from which a killed run goes on exactly."""

import math
import time
from pathlib import Path

from mindspore import nn

from asrlib.config.ctc import TrainConfig
from asrlib.ms.data.batches import Batch, BatchLoader
from asrlib.ms.objectives.validation import Validator
from asrlib.ms.training.checkpoints import Checkpoints
from asrlib.ms.training.history import History
from asrlib.ms.training.memory_plan import Parts
from asrlib.ms.training.optim import Ema, SwapEma
from asrlib.ms.training.parallel import AverageStatistics, Ranks, rate_factor
from asrlib.ms.training.schedules import learning_rate
from asrlib.ms.training.state import TrainState, load_state, save_state
from asrlib.ms.training.step import TrainStep
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.progress import COMPILING, progress

log = get_logger(__name__)

MAX_SKIPPED = 5  # updates in a row that were not finite
NAN_ADVICE = "lower optim.learning_rate, set optim.grad_clip (10 is usual), add schedule.warmup_steps, or look at the utterances named above"
BLANK_ADVICE = "usual in the first epochs; if it lasts: a lower learning rate, warm-up, longer training, or transcripts that fit the audio"


class Trainer:
    """Trains a network on batches; everything it learns of itself goes to exp_dir."""

    def __init__(
        self,
        config: TrainConfig,
        network: nn.Cell,
        optimizer: nn.Cell,
        step: TrainStep,
        loader: BatchLoader,
        validator: Validator,
        exp_dir: Path,
        parts: Parts = Parts(),  # noqa: B008  (frozen)
        ranks: Ranks = Ranks(),  # noqa: B008  (frozen)
    ):
        self.ranks, self.parts = ranks, parts
        self.average = AverageStatistics(network, ranks.size) if ranks.size > 1 and any(not p.requires_grad for p in network.get_parameters()) else None
        self.config, self.network, self.optimizer, self.step = config, network, optimizer, step
        self.loader, self.validator, self.exp_dir = loader, validator, exp_dir
        self.state = TrainState(data=f"{loader.dataset.fingerprint()} {validator.loader.dataset.fingerprint()}")
        self.history = History(exp_dir if ranks.rank == 0 else exp_dir / "ranks" / str(ranks.rank))
        self.checkpoints = Checkpoints(exp_dir, config.trainer.keep_checkpoints)
        self.exchange = SwapEma(optimizer) if isinstance(optimizer, Ema) else None
        self.skipped = 0

    def run(self) -> None:
        """Trains until the last epoch, or until patience ends; goes on from the saved state if there is one."""
        load_state(self.exp_dir, self.state, self.network, self.optimizer)
        self.history.rewind(self.state.update, self.state.epoch)
        trainer = self.config.trainer
        if self.state.update:
            log.info("resumed at epoch %d, batch %d, update %d", self.state.epoch + 1, self.state.batch, self.state.update)
        while self.state.epoch < trainer.epochs and not self._out_of_patience() and not self._done():
            self._epoch()
            self.state.epoch, self.state.batch = self.state.epoch + 1, 0
            if self.state.epoch % trainer.valid_interval == 0 or self.state.epoch == trainer.epochs or self._done():
                self.validate()
            self._save_state()
        self.step.log_resources()

    def _epoch(self) -> None:
        batches = len(self.loader.plan(self.state.epoch))
        desc = f"epoch {self.state.epoch + 1}/{self.config.trainer.epochs}"
        saved = time.monotonic()
        with progress(desc=desc, total=batches, unit="batch", initial=self.state.batch) as bar:
            for batch in self.loader.epoch(self.state.epoch, numbers=self._own(batches)):
                self._batch(batch, batches, bar)
                if self._done():
                    break
                if time.monotonic() - saved > self.config.trainer.save_interval and self._at_update(batches):
                    self._save_state()
                    saved = time.monotonic()

    def _done(self) -> bool:
        """Whether trainer.updates are done."""
        return 0 < self.config.trainer.updates <= self.state.update

    def _own(self, batches: int) -> list[int]:
        """The numbers of the batches that are left for this process; where they do not come out even, the first ones are taken again."""
        return [(number + self.ranks.rank) % batches for number in range(self.state.batch, batches, self.ranks.size)]

    def _batch(self, batch: Batch, batches: int, bar) -> None:
        state, config = self.state, self.config
        rate = learning_rate(config.schedule, config.optim.learning_rate, state.update, state.epoch + state.batch / batches, config.trainer.epochs)
        rate *= rate_factor(config.optim.scale_rate, self.ranks.size)
        state.batch = min(batches, state.batch + self.ranks.size)
        update = self._at_update(batches)
        begin = time.perf_counter()
        parts, loss = batch.split(self.parts.of(batch.feats)), 0.0
        for number, part in enumerate(parts, 1):
            inputs = part.inputs(part.units / batch.units)
            if self.step.is_new(inputs):
                bar.set_postfix_str(COMPILING.format(" x ".join(map(str, part.feats.shape))), refresh=True)
            metrics, norm, finite = self.step(rate, update and number == len(parts), *inputs)
            loss += float(metrics[0])
        loss = float(self.ranks.sum(loss)) / self.ranks.size
        seconds = time.perf_counter() - begin
        self._check(finite, batch)
        if update:
            state.update += 1
            row = {"update": state.update, "epoch": state.epoch + state.batch / batches, "loss": loss, "learning_rate": rate, "grad_norm": norm}
            self.history.update(row | {"seconds": seconds, "frames": batch.frames}, flush=state.update % config.trainer.log_interval == 0)
        bar.set_postfix_str(f"loss {loss:.2f} lr {rate:.2e}", refresh=False)
        bar.update(state.batch - bar.n)

    def _at_update(self, batches: int) -> bool:
        return self.state.batch % (self.config.optim.accumulate * self.ranks.size) == 0 or self.state.batch == batches

    def _check(self, finite: bool, batch: Batch) -> None:
        self.skipped = 0 if finite else self.skipped + 1
        if not finite:
            log.warning("update %d left out: its loss or gradient is not finite; utterances %s", self.state.update, " ".join(batch.utts))
        if self.skipped >= MAX_SKIPPED:
            raise UserError(
                f"training diverged: {MAX_SKIPPED} updates in a row were not finite: {NAN_ADVICE}; weights before it: {self.checkpoints.folder}"
            )

    def validate(self) -> None:
        """Scores the network, or with trainer.ema the running mean of its weights, on the validation set and keeps it as the checkpoint of this epoch."""
        if self.average is not None:
            self.average()
        if self.exchange is not None:
            self.exchange()
        self.score()
        if self.exchange is not None:
            self.exchange()

    def score(self) -> None:
        """`validate` of the weights as they are, by this process alone."""
        scores = self.validator.run(self.network)
        row = {"epoch": self.state.epoch, "update": self.state.update, **scores}
        self.history.validation(row)
        log.info(
            "epoch %d: valid loss %.3f WER %.2f %% CER %.2f %% blank %.1f %%",
            self.state.epoch, scores["valid_loss"], scores["valid_wer"], scores["valid_cer"], 100 * scores["blank_ratio"],
        )  # fmt: skip
        if scores["blank_ratio"] > 0.99:
            log.warning("blank collapse: %.1f %% of the frames are blank, so the hypotheses are empty: %s", 100 * scores["blank_ratio"], BLANK_ADVICE)
        wer = scores["valid_wer"] if math.isfinite(scores["valid_wer"]) else math.inf
        if wer < self.state.best_wer:
            self.state.best_wer, self.state.best_epoch = wer, self.state.epoch
        if self.ranks.rank == 0:
            self.checkpoints.save(self.network, self.state.epoch, wer, scores["valid_loss"])
        self.history.draw()

    def _out_of_patience(self) -> bool:
        patience = self.config.trainer.patience
        if not patience or self.state.epoch - self.state.best_epoch < patience:
            return False
        log.info("no better WER for %d epochs: stopping", patience)
        return True

    def _save_state(self) -> None:
        if self.ranks.rank == 0:
            save_state(self.exp_dir, self.state, self.network, self.optimizer)
        self.history.flush()
