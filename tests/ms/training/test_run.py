"""Whole trainings of a small network: output files, SIGKILL at any moment, and errors."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asrlib.bin import train
from asrlib.config.families import load_train_config
from asrlib.ms.checkpoint.weights import load_arrays
from asrlib.ms.data.mindrecord import write_shards
from asrlib.ms.training.checkpoints import Checkpoints
from asrlib.ms.training.history import read_history
from asrlib.ms.training.run import claim
from asrlib.utils.arrays import read_safetensors
from asrlib.utils.errors import UserError
from tests.ms.conftest import TRAIN, make_dump, train_arguments

MODEL_FILES = ("model.safetensors", "state.safetensors", "config.yaml", "tokens.txt", "checkpoints/index.json")


def test_what_a_training_leaves(trained, dump):
    assert {path.name for path in trained.iterdir()} == {
        "config.yaml", "tokens.txt", "history.jsonl", "tensorboard", "images", "checkpoints", "state.safetensors", "model.safetensors", "model.json",
        "set_aside.train.tsv", "set_aside.valid.tsv", ".lock",
    }  # fmt: skip
    config = load_train_config(trained / "config.yaml")
    assert config.trainer.epochs == 3 and config.augment.spec_augment
    assert (trained / "tokens.txt").read_bytes() == (dump / "tokens.txt").read_bytes()
    assert (trained / "images" / "training.png").stat().st_size > 10_000


def test_history_and_tensorboard_agree(trained):
    rows = read_history(trained)
    updates, validations = [row for row in rows if "loss" in row], [row for row in rows if "valid_loss" in row]
    assert [row["update"] for row in updates] == list(range(1, 10)) and [row["epoch"] for row in validations] == [1, 2, 3]
    assert all(row["seconds"] > 0 and row["frames"] > 0 and np.isfinite(row["loss"]) for row in updates)
    events = EventAccumulator(str(trained / "tensorboard")).Reload()
    for tag, part in (
        ("loss", updates),
        ("learning_rate", updates),
        ("valid_loss", validations),
        ("valid_wer", validations),
        ("blank_ratio", validations),
    ):
        scalars = events.Scalars(tag)
        assert [scalar.step for scalar in scalars] == [row["update"] for row in part]
        np.testing.assert_allclose([scalar.value for scalar in scalars], [row[tag] for row in part], rtol=1e-6)


def test_loss_falls(trained):
    losses = [row["valid_loss"] for row in read_history(trained) if "valid_loss" in row]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.85 * losses[0]


def test_model_is_the_better_of_best_and_average(trained):
    facts, checkpoints = json.loads((trained / "model.json").read_text()), Checkpoints(trained, 10)
    best = checkpoints.rows()[0]
    assert facts["epochs"] == 3 and facts["updates"] == 9
    assert (facts["valid_wer"], facts["valid_loss"]) <= (best["score"], best["loss"])
    source = load_arrays(checkpoints.folder / facts["source"])
    for name, array in load_arrays(trained / "model.safetensors").items():
        np.testing.assert_array_equal(array, source[name])
    assert facts["source"] in ("average.safetensors", checkpoints.best().name)


def history_rows(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def repeatable_history(folder):
    """The rows of a history without the columns that differ from run to run."""
    return [{key: value for key, value in row.items() if key not in ("seconds", "peak_memory_gb")} for row in read_history(folder)]


@pytest.mark.parametrize("rows", [2, pytest.param(6, marks=pytest.mark.recipe)])
def test_killed_and_started_again(trained, dump, tmp_path, root, rows):
    """A process killed by SIGKILL a random while after its second or sixth result, somewhere in an update, a validation or a save."""
    arguments = [sys.executable, "-m", "asrlib.bin.train", *train_arguments(dump, tmp_path, "trainer.save_interval=0")]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
        while history_rows(tmp_path / "history.jsonl") < rows:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.005)
        time.sleep(np.random.default_rng(rows).uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "model.safetensors").exists()
    subprocess.run(arguments, env=environment, check=True, capture_output=True)
    for name in MODEL_FILES:
        if name != "config.yaml":
            assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name
    for path in (trained / "checkpoints").iterdir():
        assert (tmp_path / "checkpoints" / path.name).read_bytes() == path.read_bytes(), path.name
    assert repeatable_history(tmp_path) == repeatable_history(trained)


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the finished training."""
    subprocess.run(["cp", "-r", trained, tmp_path / "exp"], check=True)
    return tmp_path / "exp"


def test_another_configuration(copied, dump):
    before = (copied / "config.yaml").read_text()
    with pytest.raises(UserError, match=r"exp holds a run with another configuration \(- hidden_size: 8; \+ hidden_size: 16\): choose another"):
        train.main(train_arguments(dump, copied, "model_conf.hidden_size=16"))
    assert (copied / "config.yaml").read_text() == before


def test_other_data(copied, dump, tmp_path):
    arguments = train_arguments(dump, copied)
    arguments[arguments.index("--valid_dir") + 1] = str(make_dump(tmp_path, "valid", ["CCA", "B"]))
    before, history = load_arrays(copied / "model.safetensors"), (copied / "history.jsonl").read_text()
    train.main(arguments)
    rows = [json.loads(line) for line in (copied / "history.jsonl").read_text().splitlines()]
    assert rows[0]["update"] == 1 and rows[0]["seconds"] != json.loads(history.splitlines()[0])["seconds"], "trained again"
    former = copied / "former/1"
    assert (former / "history.jsonl").read_text() == history and (former / "checkpoints/index.json").is_file()
    kept = load_arrays(former / "model.safetensors")
    assert all(np.array_equal(kept[name], array) for name, array in before.items())
    train.main(arguments)
    assert not (copied / "former/2").exists(), "a finished run on the same data is left alone"


def test_new_features_of_the_same_lengths_are_other_data(copied, dump, tmp_path):
    shutil.copytree(dump, tmp_path / "dump")
    path = tmp_path / "dump/train/feats.sha256"
    path.write_text(path.read_text()[::-1])
    train.main(train_arguments(tmp_path / "dump", copied))
    assert (copied / "former/1/model.safetensors").is_file() and (copied / "model.safetensors").is_file()


def test_start_over_once(copied, dump):
    """With the name of a call, as recipes give it, a resumed run goes on."""
    before = (copied / "history.jsonl").read_text()
    train.main([*train_arguments(dump, copied), "--force", "17"])
    again = (copied / "history.jsonl").read_text()
    assert before != again
    train.main([*train_arguments(dump, copied), "--force", "17"])
    assert (copied / "history.jsonl").read_text() == again


def test_start_over(copied, dump):
    """No epochs: the initial network is scored and saved."""
    train.main([*train_arguments(dump, copied, "trainer.epochs=0"), "--force", "true"])
    facts = json.loads((copied / "model.json").read_text())
    assert (facts["epochs"], facts["updates"], facts["source"]) == (0, 0, "epoch-000.safetensors")
    assert sorted(path.name for path in (copied / "checkpoints").iterdir()) == ["epoch-000.safetensors", "index.json"]


def test_pretrained_weights(trained, dump, tmp_path):
    train.main([*train_arguments(dump, tmp_path / "exp", "trainer.epochs=0"), "--pretrained_model", str(trained / "model.safetensors")])
    theirs = load_arrays(trained / "model.safetensors")
    for name, array in load_arrays(tmp_path / "exp" / "model.safetensors").items():
        np.testing.assert_array_equal(array, theirs[name])


def test_pretrained_weights_of_another_model(trained, dump, tmp_path):
    arguments = train_arguments(dump, tmp_path / "exp", "model_conf.hidden_size=16")
    with pytest.raises(
        UserError, match=r"model.safetensors: not a checkpoint of this model .*rnns.0.weight_ih_l0: file \(32, 12\), model \(64, 12\)"
    ):
        train.main([*arguments, "--pretrained_model", str(trained / "model.safetensors")])


def test_divergence(dump, tmp_path, logged):
    """With a far too high rate nothing is finite after the first update, and training stops with advice."""
    with pytest.raises(UserError, match="training diverged: 5 updates in a row were not finite: lower optim.learning_rate"):
        train.main(train_arguments(dump, tmp_path / "exp", "optim.learning_rate=1e38", "optim.name=sgd", "schedule.name=constant"))
    assert not (tmp_path / "exp" / "model.safetensors").exists()
    assert sum("skipped: its loss or gradient is not finite" in message for message in logged) == 5


def test_bfloat16_on_cpu(dump, tmp_path):
    with pytest.raises(UserError, match="trainer.precision=bf16: MindSpore has no such convolutions on CPU: set fp32 or fp16"):
        train.main(train_arguments(dump, tmp_path / "exp", "trainer.precision=bf16"))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--device", "Ascend", "--device Ascend: Unsupported device target Ascend"),
        ("--train_dir", "none", "none is not a folder"),
        ("--tokens", "none", "none: no such token list: run stage 2"),
        ("--train_config", "none.yaml", "none.yaml: no such configuration file"),
        ("--pretrained_model", "none.safetensors", "none.safetensors: no such checkpoint"),
    ],
)
def test_missing_input_or_device(dump, tmp_path, option, value, message):
    with pytest.raises(UserError, match=message):
        train.main([*train_arguments(dump, tmp_path / "exp"), option, value])


def test_half_written_files_of_a_killed_run_are_removed(tmp_path, tiny):
    for name in (".state.safetensors.abc.tmp", "checkpoints/.epoch-001.safetensors.x.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    claim(tmp_path, tiny())
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["config.yaml"]


def test_two_processes_train_as_one(dump, tmp_path, root):
    """Two CPU processes that read shards: weights, moving statistics and learning rates of one that accumulates the same batches from archives."""
    size = next(n for n in (4, 3, 2, 1) if math.ceil(len(TRAIN) / n) % 2 == 1)  # the last update of an epoch has one batch
    same = (
        f"batch.batch_size={size}",
        "batch.buckets=1",
        "augment.speed_volume_prob=0.5",
        "schedule.name=cosine",
        "trainer.log_interval=1",
        "trainer.epochs=2",
        "trainer.average_checkpoints=1",
        "trainer.seed=3",
    )
    train.main(train_arguments(dump, tmp_path / "alone", *same, "optim.accumulate=2"))
    sharded = Path(shutil.copytree(dump, tmp_path / "sharded" / "dump"))
    assert write_shards(sharded / "train", 3, 1) and write_shards(sharded / "valid", 1, 1)
    words = ["--processes", "2", "--log_dir", tmp_path / "log", "--", "train", *train_arguments(sharded, tmp_path / "together", *same)]
    done = subprocess.run([sys.executable, "-m", "asrlib.bin.launch", *map(str, words)], capture_output=True, text=True, check=False, timeout=300,
                          env=os.environ | {"PYTHONPATH": str(root)})  # fmt: skip
    logs = done.stderr + "".join(path.read_text(errors="replace") for path in (tmp_path / "log").glob("worker_*.log"))
    assert done.returncode == 0, logs[-4000:]
    assert logs.count("features from 3 MindRecord shards") == logs.count("features from 1 MindRecord shards") == 2
    mine, theirs = (read_safetensors(tmp_path / name / "checkpoints" / "epoch-002.safetensors") for name in ("together", "alone"))
    assert any("moving" in name for name in theirs)
    assert all(np.allclose(mine[name], theirs[name], rtol=1e-3, atol=1e-4) for name in theirs)
    rates = [[(row["update"], row["learning_rate"]) for row in read_history(tmp_path / name) if "loss" in row] for name in ("together", "alone")]
    assert rates[0] == rates[1] and len({rate for _, rate in rates[0]}) == 2 * math.ceil(math.ceil(len(TRAIN) / size) / 2)
