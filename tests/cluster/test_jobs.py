"""Jobs on a real Slurm: what is left of them when they are killed, cancelled or have no node."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrlib.utils.backend import Backend
from asrlib.utils.errors import UserError
from asrlib.utils.parallel import run_jobs
from tests.utils.test_parallel import end_with, square

ROOT = Path(__file__).resolve().parents[2]
SLURM = Backend("slurm")

pytestmark = pytest.mark.usefixtures("slurm")


def sleep(folder: str, index: int) -> int:
    """A job that takes a minute, unless FOLDER/quick is there."""
    begin = time.time()
    Path(folder, f"{index}.begun").touch()
    while not Path(folder, "quick").exists() and time.time() - begin < 60:
        time.sleep(0.1)
    return index


def queue() -> list[str]:
    """Names and states of the jobs that have not ended."""
    return subprocess.run(["squeue", "-h", "-r", "-o", "%j %T"], capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline
        time.sleep(0.2)


@pytest.fixture
def waiting(tmp_path):
    """A process that waits for eight sleeping jobs, two at once."""
    code = f"from asrlib.utils.cli import run\nfrom asrlib.utils.parallel import run_jobs\nfrom {__name__} import SLURM, sleep\n"
    code += f"run(lambda _: run_jobs(sleep, [({str(tmp_path)!r}, i) for i in range(8)], {str(tmp_path)!r}, 2, SLURM, 'sleepers') and None)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.recipe
def test_results_and_logs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert run_jobs(square, [(3,), (1,), (2,)], tmp_path, 2, SLURM) == [9, 1, 4]
    assert "squaring 1\n" in (tmp_path / "2.log").read_text()
    assert sorted(path.name for path in (tmp_path / "slurm").iterdir()) == ["lock"]


@pytest.mark.recipe
def test_a_failing_job_ends_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(UserError, match=r"tests: job 3 of 4 \(Slurm's \d+_2\): failed \(on (one|two)\); see .*3\.log: job 2 begins"):
        run_jobs(end_with, [(i, "kill") for i in range(4)], tmp_path, 2, SLURM, "tests")
    assert not queue()


@pytest.mark.recipe
def test_sigterm_cancels(waiting):
    waiting.send_signal(signal.SIGTERM)
    assert "error: interrupted" in waiting.communicate(timeout=60)[1] and waiting.returncode == 130
    assert not queue()


@pytest.mark.recipe
def test_a_resumed_run_cancels_what_a_killed_one_left(waiting, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    waiting.kill()
    waiting.wait()
    left = {line.split()[0] for line in queue()}
    assert len(left) == 1 and len(queue()) == 8
    (tmp_path / "quick").touch()
    begun = set(tmp_path.glob("*.begun"))
    assert run_jobs(square, [(3,), (1,)], tmp_path, 2, SLURM) == [9, 1]
    assert not left & {line.split()[0] for line in queue()} and set(tmp_path.glob("*.begun")) == begun


@pytest.mark.recipe
def test_scancel_of_a_job(waiting):
    number = subprocess.run(["squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i"], capture_output=True, text=True, check=True).stdout.split()[0]
    subprocess.run(["scancel", number], check=True)
    assert f"(Slurm's {number}): was cancelled by scancel" in waiting.communicate(timeout=60)[1]
    assert not queue()


@pytest.mark.recipe
def test_drained_nodes_are_named(waiting, tmp_path):
    node = ["scontrol", "update", "node=one,two"]
    subprocess.run([*node, "state=drain", "reason=a broken fan"], check=True)
    try:
        (tmp_path / "quick").touch()
        lines = iter(waiting.stderr.readline, "")
        said = next(line for line in lines if "wait in the queue" in line)
        assert "DOWN, DRAINED" in said and "a broken fan" in said
    finally:
        subprocess.run([*node, "state=resume"], check=True)
    waiting.communicate(timeout=90)
    assert waiting.returncode == 0


@pytest.mark.recipe
def test_a_limit_that_the_partition_does_not_have(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(UserError, match=r"waits for ever \(PartitionTimeLimit\): give a shorter time="):
        run_jobs(square, [(3,), (1,)], tmp_path, 2, Backend("slurm", ("partition=short", "time=10")))
    assert not queue()
