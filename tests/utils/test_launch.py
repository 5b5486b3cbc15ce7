"""Processes of data-parallel training: their variables, their end, and the meeting of machines."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asrlib.utils.errors import UserError
from asrlib.utils.launch import FirstMachine, Machine, launch

ROOT = Path(__file__).resolve().parents[2]
# Writes its variables to FOLDER/RANK; with HOW fail, process 1 fails; with sleep, all sleep; with all, they wait for each other
PROGRAM = """
import glob, os, sys, time
folder, how = sys.argv[1:]
names = "MS_ROLE MS_WORKER_NUM MS_SCHED_HOST MS_SCHED_PORT MS_NODE_ID RANK_ID DEVICE_ID ASRLIB_LOCAL_PROCESSES".split()
role = "scheduler" if os.environ["MS_ROLE"] == "MS_SCHED" else os.environ["RANK_ID"]
open(f"{folder}/{role}.tmp", "w").write("|".join([str(os.getpid()), *(os.environ.get(name, "") for name in names)]))
os.rename(f"{folder}/{role}.tmp", f"{folder}/{role}.txt")
if how == "fail" and role == "1":
    print("error: no device", flush=True)
    sys.exit(3)
while how == "all" and len(glob.glob(f"{folder}/*.txt")) < 5:
    time.sleep(0.05)
time.sleep(60 if how in ("fail", "sleep") else 0.2)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The command `program`."""
    package = tmp_path / "package/asrlib/bin"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "package"))
    monkeypatch.delenv("MASTER_PORT", raising=False)
    monkeypatch.chdir(tmp_path / "package")
    return tmp_path


def said(folder: Path) -> dict[str, list[str]]:
    return {path.stem: path.read_text().split("|") for path in folder.glob("*.txt")}


def wait_until(condition) -> None:
    deadline = time.time() + 60
    while not condition():
        assert time.time() < deadline
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_variables_of_mindspore(program):
    launch("program", [str(program), "end"], 2, Machine.here(1), program / "log", FirstMachine())
    rows = said(program)
    assert set(rows) == {"scheduler", "0", "1"}
    assert [rows[rank][1] for rank in ("scheduler", "0", "1")] == ["MS_SCHED", "MS_WORKER", "MS_WORKER"]
    assert len({tuple(row[2:5]) for row in rows.values()}) == 1 and rows["0"][2:4] == ["2", "127.0.0.1"]
    assert [rows[rank][5:] for rank in ("0", "1")] == [["0", "0", "0", "2"], ["1", "1", "1", "2"]]


def test_one_that_fails_ends_all(program):
    with pytest.raises(UserError, match=r"process 1 ended with exit code 3: error: no device; see .*worker_1.log"):
        launch("program", [str(program), "fail"], 2, Machine.here(1), program / "log", FirstMachine())
    assert all(gone(int(row[0])) for row in said(program).values())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_none_outlives_the_parent(program, number):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; from asrlib.utils.launch import *\n"
    code += f"launch('program', [{str(program)!r}, 'sleep'], 2, Machine.here(1), Path({str(program)!r}) / 'log', FirstMachine())"
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(said(program)) == 3)
    begin = time.monotonic()
    parent.send_signal(number)
    parent.wait()
    wait_until(lambda: all(gone(int(row[0])) for row in said(program).values()))
    assert time.monotonic() - begin < 5


def test_machines_meet_in_the_folder(program):
    """What a killed run has left is not taken for a meeting."""
    (program / "log").mkdir()
    (program / "log/meeting").write_text("10.0.0.9 1\n")
    work = ("program", [str(program), "all"], 2, Machine(1, 2), program / "log", FirstMachine())
    second = threading.Thread(target=launch, args=work, daemon=True)
    second.start()
    time.sleep(1.5)
    assert not said(program)
    launch("program", [str(program), "all"], 2, Machine(0, 2, "127.0.0.1"), program / "log", FirstMachine())
    second.join(60)
    rows = said(program)
    assert {row[2] for row in rows.values()} == {"4"} and rows["3"][5:] == ["3", "3", "1", "2"]
    assert len({row[4] for row in rows.values()}) == 1


def test_the_first_machine_passes_by_or_ends(program):
    passed, alive = program / "3.passed", program / "first.lock"
    threading.Timer(1.5, passed.touch).start()
    launch("program", [str(program), "end"], 1, Machine(1, 2), program / "log", FirstMachine(alive, passed))
    assert not said(program)
    holder = subprocess.Popen(["flock", str(alive), "sleep", "3"])
    wait_until(alive.exists)
    with pytest.raises(UserError, match="the run on the first machine .* has ended"):
        launch("program", [str(program), "end"], 1, Machine(1, 2), program / "log", FirstMachine(alive, program / "never"))
    holder.wait()


def test_variables_of_machines(monkeypatch):
    for name in ("NODE_RANK", "MASTER_ADDR", "SLURM_NODEID", "SLURM_LAUNCH_NODE_IPADDR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="NODE_RANK='': set it to the number of this machine, 0 to 1"):
        Machine.here(2)
    monkeypatch.setenv("NODE_RANK", "0")
    with pytest.raises(UserError, match="set MASTER_ADDR"):
        Machine.here(2)
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    assert Machine.here(2) == Machine(0, 2, "10.0.0.1")
    monkeypatch.delenv("NODE_RANK")
    monkeypatch.setenv("SLURM_NODEID", "1")
    assert Machine.here(2) == Machine(1, 2, "10.0.0.1") and os.environ["SLURM_NODEID"] == "1"
