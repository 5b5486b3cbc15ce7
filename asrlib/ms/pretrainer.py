"""The pretraining loop: updates, validation, and a state from which a killed run goes on exactly."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from asrlib.ms.history import History
from asrlib.ms.masked_prediction import METRICS
from asrlib.ms.parallel import Ranks
from asrlib.ms.pretrain_data import MaskedBatch, PretrainLoader
from asrlib.ms.schedules import learning_rate
from asrlib.ms.state import TrainState, load_state, save_state
from asrlib.ms.step import TrainStep
from asrlib.ms.weights import network_arrays
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.pretraining import PretrainConfig
from asrlib.utils.progress import progress

log = get_logger(__name__)

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
        valid_loss: nn.Cell,
        loaders: tuple[PretrainLoader, PretrainLoader],
        exp_dir: Path,
        ranks: Ranks = Ranks(),  # noqa: B008  (frozen)
    ):
        self.ranks = ranks
        self.config, self.network, self.optimizer, self.step, self.valid_loss = config, network, optimizer, step, valid_loss
        self.loader, self.valid_loader = loaders
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
        with progress(desc="pretraining", total=trainer.updates, unit="update", initial=state.update) as bar:
            for group in self._groups():
                self._update(group, bar)
                if state.update in trainer.keep_updates and self.ranks.rank == 0:
                    self._keep()
                if state.update % trainer.valid_interval == 0 or state.update == trainer.updates:
                    self.validate()
                if time.monotonic() - saved > trainer.save_interval or state.update == trainer.updates:
                    self._save_state()
                    saved = time.monotonic()

    def _groups(self) -> Iterator[list[tuple[MaskedBatch, bool]]]:
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

    def _update(self, group: list[tuple[MaskedBatch, bool]], bar) -> None:
        state, config = self.state, self.config
        rate = learning_rate(config.schedule, config.optim.learning_rate, state.update, 0.0, 1, config.trainer.updates)
        masked = float(self.ranks.sum(sum(batch.masked for batch, counts in group if counts)))
        begin, totals = time.perf_counter(), np.zeros(len(METRICS))
        for number, (batch, counts) in enumerate(group, 1):
            share = batch.masked / masked if counts else 0.0
            metrics, norm, finite = self.step(Tensor(rate, ms.float32), number == len(group), *map(Tensor, batch.inputs(share)))
            totals += share * metrics.asnumpy()
        norm, finite, totals = float(norm.asnumpy()), bool(finite.asnumpy()), self.ranks.sum(totals)
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
        names = [name for name in METRICS if self.config.model == "progre" or not name.startswith("speaker")]
        numbers = dict(zip(METRICS, totals, strict=True))
        row = {"update": self.state.update, "epoch": self.state.epoch, "loss": numbers["masked_loss"], "learning_rate": rate, "grad_norm": norm}
        self.history.update(row | {name: numbers[name] for name in names} | {"seconds": seconds}, flush=True)

    def _check(self, finite: bool, group: list[MaskedBatch]) -> None:
        self.skipped = 0 if finite else self.skipped + 1
        if not finite:
            utts = " ".join(utt for batch in group for utt in batch.utts)
            log.warning("update %d left out: its loss or gradient is not finite; utterances %s", self.state.update, utts)
        if self.skipped >= MAX_SKIPPED:
            raise UserError(f"training diverged: {MAX_SKIPPED} updates in a row were not finite: {NAN_ADVICE}")

    def validate(self) -> dict[str, float]:
        """Loss and accuracy of the masked frames of the validation set, with the same masks every time."""
        self.network.set_train(False)
        totals, masked, used = np.zeros(len(METRICS)), 0, np.zeros(self.config.model_conf.num_classes)
        for batch in self.valid_loader.epoch(0):
            _, metrics = self.valid_loss(*(Tensor(x) for x in batch.inputs(1.0)))
            totals, masked = totals + batch.masked * metrics.asnumpy(), masked + batch.masked
            used += np.bincount(batch.labels[batch.mask > 0], minlength=used.size)
        self.network.set_train(True)
        numbers = dict(zip(METRICS, (totals / max(1, masked)).tolist(), strict=True))
        share = used[used > 0] / max(1.0, used.sum())
        row = {"valid_loss": numbers["masked_loss"], "valid_accuracy": numbers["masked_accuracy"], "clusters_used": int((used > 0).sum())}
        row |= {"cluster_perplexity": math.exp(-float((share * np.log(share)).sum())), "always_most_frequent": float(share.max(initial=0.0))}
        if self.config.model == "progre":
            row["valid_speaker_accuracy"] = numbers["speaker_accuracy"]
        self.history.validation({"epoch": self.state.epoch, "update": self.state.update} | row)
        log.info(
            "update %d: valid loss %.3f accuracy %.1f %% (the most frequent cluster would give %.1f %%)",
            self.state.update, row["valid_loss"], 100 * row["valid_accuracy"], 100 * row["always_most_frequent"],
        )  # fmt: skip
        self.history.draw()
        return row

    def _keep(self) -> None:
        save_arrays(self.exp_dir / "checkpoints" / f"update-{self.state.update:06d}.safetensors", network_arrays(self.network))

    def _save_state(self) -> None:
        if self.ranks.rank == 0:
            save_state(self.exp_dir, self.state, self.network, self.optimizer)
        self.history.flush()
