"""A whole recipe on a real Slurm, with a drained node, a kill, a cancelled job and a time-out: its results are those of a local run, byte by byte."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from asrlib.utils.arrays import read_safetensors
from tests.cluster.test_jobs import queue, wait_until
from tests.recipes.conftest import ROOT, tones  # noqa: F401  (a fixture)

SMALL = "model_conf.conv_channels=2 model_conf.hidden_size=8 model_conf.hidden_layers=2 trainer.epochs=2 batch.batch_size=4 batch.buckets=1"
SAME = ("dump/tokens.txt", "exp/tiny/config.yaml", "exp/tiny/model.safetensors", "exp/tiny/pt/model.safetensors", "exp/tiny/decode_greedy/test/text")


class Run:
    """A run of the recipe with its folders in `folder`. options: after those of the corpus and the network."""

    def __init__(self, folder: Path, corpus: Path, *options: str):
        folders = [word for name in ("data", "dump", "exp") for word in (f"--{name}dir", str(folder / name))]
        sets = ["--train_dir", str(corpus / "train"), "--valid_dir", str(corpus / "dev"), "--test_dirs", str(corpus / "test")]
        self.command = [str(ROOT / "egs/custom/deepspeech2/run.sh"), *folders, *sets, "--train_args", SMALL, "--tag", "tiny", "--nj", "2", *options]
        self.environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def begin(self, *options: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*self.command, *options], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def end(self, code: int, *options: str) -> str:
        process = self.begin(*options)
        output, _ = process.communicate()
        assert process.returncode == code, output[-4000:]
        return output


def names() -> list[str]:
    return [line.split("-")[0] for line in queue()]


def drain(state: str) -> None:
    subprocess.run(["scontrol", "update", "node=one,two", f"state={state}", *(["reason=a broken fan"] if state == "drain" else [])], check=True)


def answers(folder: Path) -> dict[str, bytes]:
    """The files that must be equal, and the archives."""
    arks = [str(path.relative_to(folder)) for path in sorted((folder / "dump").glob("*/feats.*.ark"))]
    assert len(arks) == 6
    return {name: (folder / name).read_bytes() for name in (*SAME, *arks)}


@pytest.mark.recipe
def test_results_are_those_of_a_local_run(slurm, tones, tmp_path):  # noqa: F811
    begin = time.monotonic()
    Run(tmp_path / "local", tones).end(0)
    local = time.monotonic() - begin
    run = Run(tmp_path / "cluster", tones, "--cmd_backend", "slurm", "--slurm_args", "training.time=30")

    drain("drain")  # the jobs of stage 2 stay in the queue, and are still there when the run is killed
    killed = run.begin()
    said = next(line for line in killed.stdout if "wait in the queue" in line)
    assert "a broken fan" in said
    assert names().count("features_of_train") == 2
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    drain("resume")

    cancelled = run.begin()  # its training is cancelled once it has begun
    wait_until(lambda: (tmp_path / "cluster/exp/tiny/config.yaml").exists() or cancelled.poll() is not None, 900)
    subprocess.run(["scancel", "--state=RUNNING", *[f"--name={line.split()[0]}" for line in queue() if line.startswith("train-")][:1]], check=True)
    output, _ = cancelled.communicate()
    assert cancelled.returncode == 1 and "was cancelled by scancel" in output, output[-4000:]
    assert names() == [], "nothing is left in the queue"

    output = run.end(0)
    assert output.count("skipped, nothing has changed") == 3, "stages 0, 1 and 2"
    assert output.count("asrlib.bin.submit --kind training") == 5, "train, convert, compare_layers, export, decode"
    mine, theirs = answers(tmp_path / "cluster"), answers(tmp_path / "local")
    assert mine.keys() == theirs.keys()
    place = str(tmp_path / "cluster").encode(), str(tmp_path / "local").encode()
    assert not [name for name in theirs if mine[name].replace(*place) != theirs[name]]
    results = [json.loads((tmp_path / name / "exp/tiny/decode_greedy/test/score_wer/result.json").read_text()) for name in ("cluster", "local")]
    assert results[0]["error_rate"] == results[1]["error_rate"]
    assert run.end(0).count("skipped, nothing has changed") == 7
    print(f"local {local:.0f} s; with a drained node, a kill and a cancelled job {time.monotonic() - begin - local:.0f} s")


@pytest.mark.recipe
def test_a_training_that_runs_out_of_time(slurm, tones, tmp_path):  # noqa: F811
    """It is not started again by Slurm; with more time, it goes on."""
    run = Run(tmp_path, tones, "--cmd_backend", "slurm", "--stop_stage", "3")
    many = ("--train_args", SMALL.replace("epochs=2", "epochs=100000"))
    output = run.end(1, *many, "--slurm_args", "training.time=1")
    assert "ran out of its time limit: give a longer time= in --slurm_args" in output
    assert names() == []
    again = run.begin(*many)
    assert "resumed at epoch" in next(line for line in again.stdout if "resumed at" in line)
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=120)
    assert again.returncode == 130 and names() == []


@pytest.mark.recipe
def test_training_on_two_nodes(slurm, tones, tmp_path):  # noqa: F811
    """One call; the weights are those of one process that accumulates two batches."""
    Run(tmp_path, tones, "--stop_stage", "2").end(0)
    third = ("--stage", "3", "--stop_stage", "3")
    Run(tmp_path, tones, *third, "--tag", "one", "--train_args", f"{SMALL} optim.accumulate=2").end(0)
    output = Run(tmp_path, tones, *third, "--tag", "two", "--cmd_backend", "slurm", "--num_nodes", "2").end(0)
    assert "x 2 devices" in output and (tmp_path / "exp/two/log/launch/worker_1.log").stat().st_size > 0
    one, two = (read_safetensors(tmp_path / "exp" / tag / "model.safetensors") for tag in ("one", "two"))
    assert all(np.allclose(one[name], two[name], rtol=1e-3, atol=1e-4) for name in one)
