"""The training loop with a mock step: its arguments, the saved files, and exact resuming of killed runs."""

import hashlib
import itertools
import os

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from asrlib.ms.data.batches import BatchLoader, make_buckets
from asrlib.ms.data.dataset import Dataset
from asrlib.ms.objectives.ctc import Ctc
from asrlib.ms.training.history import read_history
from asrlib.ms.training.optim import make_optimizer
from asrlib.ms.training.schedules import learning_rate
from asrlib.ms.training.state import state_file
from asrlib.ms.training.trainer import Trainer
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """No plots: they take longer than these trainings."""

    def draw(rows, path):
        with atomic_write(path) as stream:
            stream.write("picture")

    monkeypatch.setattr("asrlib.ms.training.history.plot_history", draw)


class Killed(BaseException):
    """Simulates SIGKILL: the program does not catch it."""


class Step:
    """Records its arguments and changes the weights a little, so that each state differs; `finite`: whether each call was finite."""

    def __init__(self, network, finite=lambda call: True, kill=None):
        self.network, self.finite, self.kill, self.notes, self.losses, self.shares = network, finite, kill, [], [], []
        self.loss_scale, self.scales = 1.0, []

    def __call__(self, rate, update, *inputs, counts=True, ends=True):
        if len(self.notes) == self.kill:
            raise Killed
        batch = hashlib.sha256(b"".join(array.tobytes() for array in inputs)).hexdigest()
        finite = self.finite(len(self.notes))
        self.shares.append(float(inputs[5]))
        self.scales.append(self.loss_scale)
        self.notes.append((batch, round(float(np.float32(rate)), 9), update))
        weight = self.network.weight
        if update and finite:
            weight.set_data(Tensor(0.9 * weight.asnumpy() + int(batch[:4], 16) / 65536, ms.float32))
        self.losses.append(weight.asnumpy().mean() + int(batch[:2], 16) / 256 if finite else np.inf)
        return np.array(self.losses[-1:], np.float32), 1.0, finite

    def is_new(self, inputs):
        return False

    def log_resources(self):
        pass


class Scored(Ctc):
    """CTC whose validations have WERs from a list, 100 where it ends."""

    def __init__(self, *arguments, wers=(), blank_ratio=0.5, kill=None):
        super().__init__(*arguments)
        self.wers, self.blank_ratio, self.kill, self.runs = wers, blank_ratio, kill, 0

    def loaders(self):
        loader = BatchLoader(self.train_set, make_buckets(self.train_set, 1, 2, 0), self.config.trainer.seed, shuffle=True)
        return loader, loader

    def validate(self, network, split, update):
        self.runs += 1
        if self.runs == self.kill:
            raise Killed
        loss = float(network.weight.asnumpy().mean())
        return {"valid_loss": loss, "valid_wer": next(iter(self.wers[self.runs - 1 :]), 100.0), "valid_cer": 50.0, "blank_ratio": self.blank_ratio}


@pytest.fixture
def trainer(dump, tokenizer, tiny, tmp_path):
    """trainer(*overrides, finite, kill, wers, blank_ratio, kill_validation, folder): a Trainer of three epochs of five batches."""

    def make(*overrides, finite=lambda call: True, kill=None, wers=(), blank_ratio=0.5, kill_validation=None, folder="exp"):
        config = tiny("batch.batch_size=2", "batch.buckets=1", "augment.spec_augment=true", *overrides)
        data = Dataset(dump / "train", tokenizer, config, train=True)
        objective = Scored(config, data, data, tokenizer, wers=wers, blank_ratio=blank_ratio, kill=kill_validation)
        network = nn.Dense(2, 2, weight_init="ones", bias_init="zeros")
        optimizer = make_optimizer(network, config.optim)
        (tmp_path / folder).mkdir(exist_ok=True)
        objective.loader, objective.valid_loader = objective.loaders()
        return Trainer(config, network, optimizer, Step(network, finite, kill), objective, tmp_path / folder)

    return make


def results(trainer):
    """All output of a run except times."""
    rows = [{key: value for key, value in row.items() if key not in ("seconds", "peak_memory_gb")} for row in read_history(trainer.exp_dir)]
    files = {path.name: path.read_bytes() for path in (trainer.exp_dir / "checkpoints").iterdir()}
    return rows, files, state_file(trainer.exp_dir).read_bytes()


def test_updates_and_rates(trainer):
    run = trainer("schedule.name=cosine", "schedule.warmup_steps=4")
    run.run()
    assert [update for *_, update in run.step.notes] == [True] * 15
    expected = [learning_rate(run.config.schedule, 1e-2, i, i / 5, 3) for i in range(15)]
    assert [rate for _, rate, _ in run.step.notes] == pytest.approx(expected, abs=1e-8)
    rows = [row for row in read_history(run.exp_dir) if "loss" in row]
    assert [row["learning_rate"] for row in rows] == pytest.approx(expected)
    assert [row["update"] for row in rows] == list(range(1, 16)) and [row["epoch"] for row in rows] == pytest.approx([i / 5 for i in range(1, 16)])
    assert len({batch for batch, *_ in run.step.notes}) == 15
    assert (run.state.epoch, run.state.batch, run.state.update) == (3, 0, 15)


def test_accumulation(trainer):
    """An update every second batch and, with five in an epoch, after the last."""
    run = trainer("optim.accumulate=2")
    run.run()
    assert [update for *_, update in run.step.notes] == [False, True, False, True, True] * 3
    rows = [row for row in read_history(run.exp_dir) if "loss" in row]
    assert [row["update"] for row in rows] == list(range(1, 10))
    losses = run.step.losses
    assert [row["loss"] for row in rows[:3]] == pytest.approx([np.mean(losses[:2]), np.mean(losses[2:4]), losses[4]]), "of the whole update"
    assert [rate for _, rate, _ in run.step.notes][1:2] == pytest.approx([rows[0]["learning_rate"]])
    assert run.step.shares == pytest.approx([0.5, 0.5, 0.5, 0.5, 1.0] * 3), "the last update of an epoch is the mean over its own batch"


def test_loss_scale_adapts(trainer, logged):
    """It is halved by overflow, doubled after two finite updates, resumed exactly, and no overflow counts as divergence until it is 1."""
    fp16 = ("trainer.precision=fp16", "trainer.loss_scale=8", "trainer.loss_scale_window=2", "trainer.save_interval=0")
    whole = trainer(*fp16, finite=lambda call: call not in (1, 2, 8), folder="whole")
    whole.run()
    assert whole.step.scales == [8, 8, 4, 2, 2, 4, 4, 8, 8, 4, 4, 8, 8, 16, 16]
    assert any("update 1 skipped: overflow in float16; loss scale 8 -> 4" in line for line in logged)
    with pytest.raises(Killed):
        trainer(*fp16, finite=lambda call: call not in (1, 2, 8), kill=4, folder="killed").run()
    resumed = trainer(*fp16, finite=lambda call: call != 4, folder="killed")
    resumed.run()
    assert resumed.step.scales == whole.step.scales[4:]
    with pytest.raises(UserError, match="training diverged: 5 updates in a row"):
        trainer(*fp16, finite=lambda call: False, folder="never").run()
    fixed = trainer("trainer.precision=fp16", "trainer.loss_scale=8", "trainer.loss_scale_window=0", finite=lambda call: call != 3, folder="fixed")
    fixed.run()
    assert set(fixed.step.scales) == {8} and set(trainer(folder="fp32").step.scales) == set()


COUNTED = ("trainer.valid_unit=updates", "trainer.valid_interval=4", "trainer.updates=14", "trainer.epochs=0", "trainer.keep_updates=[0,7]")


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("trainer.save_interval=0",),
        ("trainer.save_interval=0", "optim.accumulate=2"),
        ("trainer.save_interval=0", "trainer.log_interval=4", *COUNTED),
    ],
    ids=["epochs", "updates", "sums", "counted in updates"],
)
def test_killed_at_any_batch(trainer, overrides):
    """The batches, rates, weights, checkpoints and history of a run killed before any of its batches are those of one that was not."""
    whole = trainer(*overrides, folder="whole")
    whole.run()
    batches = len(whole.step.notes)
    for kill in range(batches):
        first = trainer(*overrides, kill=kill, folder=f"killed-{kill}")
        with pytest.raises(Killed):
            first.run()
        second = trainer(*overrides, folder=f"killed-{kill}")
        second.run()
        done = batches - len(second.step.notes)
        assert first.step.notes[:done] + second.step.notes == whole.step.notes
        if "optim.accumulate=2" in overrides:
            assert kill - done < 2
        else:
            assert done == (kill if overrides else kill // 5 * 5)
        assert results(second) == results(whole), kill


@pytest.mark.parametrize("save_interval", [0, 600])
@pytest.mark.parametrize("kill", [1, 2, 3])
def test_killed_in_a_validation(trainer, save_interval, kill):
    overrides = (f"trainer.save_interval={save_interval}",)
    whole = trainer(*overrides, folder="whole")
    whole.run()
    with pytest.raises(Killed):
        trainer(*overrides, kill_validation=kill).run()
    second = trainer(*overrides)
    second.run()
    assert results(second) == results(whole)


@pytest.mark.parametrize("write", range(14))
def test_killed_while_writing(trainer, monkeypatch, write):
    """Before any of the files takes its name: rewound history, checkpoint, index, curve, state."""
    whole = trainer(folder="whole")
    whole.run()
    replace, calls = os.replace, itertools.count()

    def failing(*names):
        if next(calls) == write:
            raise Killed
        replace(*names)

    with monkeypatch.context() as patch:
        patch.setattr("asrlib.utils.files.os.replace", failing)
        try:
            trainer().run()
            killed = False
        except Killed:
            killed = True
    assert killed == (write < 13)
    second = trainer()
    second.run()
    assert results(second) == results(whole)


def test_finished_run_does_nothing(trainer):
    first = trainer()
    first.run()
    before = results(first)
    again = trainer()
    again.run()
    assert not again.step.notes and not again.objective.runs and results(again) == before


def test_checkpoints_kept(trainer):
    run = trainer("trainer.epochs=6", "trainer.keep_checkpoints=2", wers=[60.0, 40.0, 50.0, 40.0, 90.0, 70.0])
    run.run()
    assert [row["epoch"] for row in run.checkpoints.rows()] == [2, 4]
    assert sorted(path.name for path in run.checkpoints.folder.iterdir()) == ["epoch-002.safetensors", "epoch-004.safetensors", "index.json"]
    assert (run.state.best, run.state.best_at) == (40.0, 2)


def test_patience(trainer, logged):
    run = trainer("trainer.epochs=9", "trainer.patience=2", wers=[60.0, 40.0, 40.0, 41.0, 10.0])
    run.run()
    assert run.state.epoch == 4 and "no better valid_wer for 2 epochs: stopping" in logged
    again = trainer("trainer.epochs=9", "trainer.patience=2")
    again.run()
    assert not again.step.notes


def test_limited_by_updates(trainer):
    """In the middle of an epoch, with validations and kept weights by updates; rows of the history are means."""
    run = trainer(*COUNTED, "trainer.log_interval=5", "trainer.keep_checkpoints=1", wers=[80.0, 70.0, 60.0, 50.0, 65.0])
    run.run()
    rows = read_history(run.exp_dir)
    assert [row["update"] for row in rows if "loss" in row] == [5, 10, 14]
    assert [(row["update"], row["epoch"]) for row in rows if "valid_loss" in row] == [(0, 0.0), (4, 0.8), (7, 1.4), (8, 1.6), (12, 2.4), (14, 2.8)]
    kept = {row["name"]: row["pinned"] for row in run.checkpoints.rows()}
    assert kept == {"update-000008": False, "update-000007": True, "update-000000": True}
    every = trainer(*COUNTED, "trainer.log_interval=1", folder="every")
    every.run()
    losses = [row["loss"] for row in read_history(every.exp_dir) if "loss" in row]
    assert rows[-2]["loss"] == pytest.approx(np.mean(losses[10:])) and rows[-2]["frames"] > 0


def test_patience_in_updates(trainer, logged):
    overrides = "trainer.valid_unit=updates", "trainer.valid_interval=2", "trainer.patience=4", "trainer.epochs=9"
    run = trainer(*overrides, wers=[50.0, 60.0, 40.0, 45.0, 41.0, 1.0])
    run.run()
    assert run.state.update == 10 and "no better valid_wer for 4 updates: stopping" in logged


def test_validation_interval(trainer):
    run = trainer("trainer.epochs=5", "trainer.valid_interval=2")
    run.run()
    assert [row["epoch"] for row in read_history(run.exp_dir) if "valid_loss" in row] == [2, 4, 5]


def test_undefined_wer_is_never_the_best(trainer):
    """Without reference words there is no WER: the loss decides."""
    run = trainer(wers=[float("nan")] * 3)
    run.run()
    rows = run.checkpoints.rows()
    assert [row["loss"] for row in rows] == sorted(row["loss"] for row in rows) and len(rows) == 3
    assert run.state.best == float("inf")


def test_divergence(trainer, logged):
    """Five updates in a row: stops with advice; the log has named the utterances, the state is that of the last epoch."""
    run = trainer(finite=lambda call: call < 5)
    with pytest.raises(
        UserError, match="training diverged: 5 updates in a row were not finite: lower optim.learning_rate, set optim.grad_clip .*checkpoints"
    ):
        run.run()
    assert len(run.step.notes) == 10
    skipped = [message for message in logged if "skipped" in message]
    assert len(skipped) == 5 and "update 5 skipped: its loss or gradient is not finite; utterances train-" in skipped[0]
    assert [row["epoch"] for row in run.checkpoints.rows()] == [1]


def test_single_updates_that_are_not_finite(trainer, logged):
    run = trainer(finite=lambda call: call % 5 != 2)
    run.run()
    assert run.state.epoch == 3 and sum("skipped" in message for message in logged) == 3


@pytest.mark.parametrize(("blank_ratio", "warned"), [(0.995, 3), (0.98, 0)])
def test_blank_collapse(trainer, logged, blank_ratio, warned):
    trainer(blank_ratio=blank_ratio).run()
    messages = [message for message in logged if "blank collapse: 99.5 % of the frames are blank" in message]
    assert len(messages) == warned and all("lower learning rate" in message for message in messages)


def test_state_of_another_network(trainer):
    trainer("optim.name=adamw").run()
    with pytest.raises(UserError, match="state.safetensors: not a checkpoint of this model .*velocity.weight is missing"):
        trainer("optim.name=sgd").run()


def test_state_of_other_data(trainer):
    trainer().run()
    with pytest.raises(UserError, match="exp holds a run on other data: choose another --tag or --exp_dir, or start over with --force true"):
        trainer("batch.max_seconds=34", "features.sample_rate=2001").run()


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_damaged_state(trainer, size):
    run = trainer()
    run.run()
    path = state_file(run.exp_dir)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match="state.safetensors: .*: the training cannot be resumed: start over with --force true"):
        trainer().run()
