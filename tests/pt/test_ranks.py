"""Processes of one computation: they meet, and the first that fails ends all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrlib.pt.ranks import Rank, run_ranks
from asrlib.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def write(rank: Rank, folder: str) -> None:
    Path(folder, str(rank.number)).write_text(f"{rank.size} {rank.meeting} {os.environ['OMP_NUM_THREADS']}")


def fail(rank: Rank, folder: str, how: str) -> None:
    Path(folder, str(rank.number)).write_text(str(os.getpid()))
    if rank.number == 1 and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if rank.number == 1 and how == "user":
        raise UserError("no such file: give another")
    if rank.number == 1:
        raise ValueError("bug")
    time.sleep(60)


def test_each_knows_its_number_and_a_common_place(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run_ranks(write, 2, str(tmp_path))
    said = [(tmp_path / str(number)).read_text().split() for number in range(2)]
    assert said[0] == said[1] and said[0][0] == "2" and int(said[0][2]) >= 1
    assert "OMP_NUM_THREADS" not in os.environ and not Path(said[0][1]).parent.exists()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("killed", r"^process 1 was killed by SIGKILL \(out of memory\?\): run the same command again to resume$"),
        ("user", "^no such file: give another$"),
        ("bug", "^process 1: ValueError: bug$"),
    ],
)
def test_the_first_failure_ends_the_others(tmp_path, how, message):
    begin = time.time()
    with pytest.raises(UserError, match=message):
        run_ranks(fail, 2, str(tmp_path), how)
    assert time.time() - begin < 50 and not alive(tmp_path / "0")


def alive(path: Path) -> bool:
    status = Path(f"/proc/{path.read_text()}/stat") if path.exists() else path
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_they_end_with_a_killed_parent(tmp_path):
    code = f"from tests.pt.test_ranks import *; run_ranks(fail, 1, {str(tmp_path)!r}, 'sleep')"
    parent = subprocess.Popen([sys.executable, "-c", f"if __name__ == '__main__':\n {code}"], cwd=ROOT)
    deadline = time.time() + 60
    while not (tmp_path / "0").exists() or not (tmp_path / "0").read_text():
        assert time.time() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while alive(tmp_path / "0"):
        assert time.time() < deadline
        time.sleep(0.02)
