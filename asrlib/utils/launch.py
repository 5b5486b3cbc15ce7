"""Starts the processes of data-parallel training in MindSpore on this machine, and finds those of the other machines through a shared folder.

The variables are those of MindSpore's dynamic cluster (which msrun sets, too): a scheduler on the first machine and workers, all of the same command.
Unlike msrun's, the processes end with this one, and the port is a free one.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from asrlib.utils.commands import command_line, ending_with_this
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger
from asrlib.utils.parallel import cores

log = get_logger(__name__)

SCHEDULER = "scheduler"
SECONDS = 30  # for the scheduler to end after the workers
CALM = 1.0  # seconds between two looks at the meeting file, which must be equal


@dataclass(frozen=True)
class Machine:
    """This machine among `count`. rank: its number, 0 is the first; address: of the first machine, where it is known."""

    rank: int = 0
    count: int = 1
    address: str = ""

    @classmethod
    def here(cls, count: int) -> "Machine":
        """From the variables NODE_RANK and MASTER_ADDR, or those of srun. UserError: they are missing or invalid."""
        if count == 1:
            return cls(address="127.0.0.1")
        rank = os.environ.get("NODE_RANK", os.environ.get("SLURM_NODEID", ""))
        if not rank.isdigit() or int(rank) >= count:
            raise UserError(f"NODE_RANK={rank!r}: set it to the number of this machine, 0 to {count - 1}")
        address = os.environ.get("MASTER_ADDR") or os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "")
        if not address and rank == "0":
            raise UserError("set MASTER_ADDR to the address of this machine, by which the others reach it")
        return cls(int(rank), count, address)


@dataclass(frozen=True)
class FirstMachine:
    """What the run on the first machine shows of itself to the others. alive: the file that it locks; passed: the one that it touches when it needs
    no training (any more)."""

    alive: Path | None = None
    passed: Path | None = None


def launch(name: str, options: Sequence[str], processes: int, machine: Machine, log_dir: Path, first: FirstMachine) -> None:
    """Runs asrlib.bin.NAME in `processes` processes on each machine; they end with this one, and all when one fails.

    The output of the first is that of this process, that of the others is in log_dir/worker_RANK.log. Machines after the first wait until it has
    begun, or has passed by. UserError: a process failed, with what it said last.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    with _meeting(machine, log_dir, first) as place:
        if place:
            _run(command_line(name, options), processes, machine, log_dir, *place)


def _run(command: list[str], processes: int, machine: Machine, log_dir: Path, address: str, port: str) -> None:
    size, first = processes * machine.count, processes * machine.rank
    common = {"MS_WORKER_NUM": size, "MS_SCHED_HOST": address, "MS_SCHED_PORT": port, "MS_TOPO_TIMEOUT": 600, "RANK_SIZE": size}
    common["ASRLIB_LOCAL_PROCESSES"] = processes  # they share the memory of the machine
    if "OMP_NUM_THREADS" not in os.environ:
        common["OMP_NUM_THREADS"] = max(1, cores() // processes)
    running: dict[str, subprocess.Popen] = {}
    try:
        if machine.rank == 0:
            running[SCHEDULER] = _start(command, common | {"MS_ROLE": "MS_SCHED", "RANK_ID": 0}, log_dir / "scheduler.log")
        for place in range(processes):
            rank = first + place
            own = {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": rank, "RANK_ID": rank, "DEVICE_ID": place}
            running[f"process {rank}"] = _start(command, common | own, None if rank == 0 else log_dir / f"worker_{rank}.log")
        _wait(running, log_dir)
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def _start(command: list[str], variables: dict, file: Path | None) -> subprocess.Popen:
    environment = dict(os.environ) | {key: str(value) for key, value in variables.items()}
    with open(file, "wb") if file else contextlib.nullcontext() as stream:
        return subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT if file else None, preexec_fn=ending_with_this())


def _wait(running: dict[str, subprocess.Popen], log_dir: Path) -> None:
    """Until all have ended, or one has failed. The scheduler, which may not notice that the workers have ended, is given some seconds."""
    calm: float | None = None
    while running:
        for name in [name for name, process in running.items() if process.poll() is not None]:
            code = running.pop(name).returncode
            if code:
                raise UserError(_fault(name, code, log_dir))
        if running.keys() == {SCHEDULER}:
            calm = calm or time.monotonic()
            if time.monotonic() - calm > SECONDS:
                return
        time.sleep(0.2)


def _fault(name: str, code: int, log_dir: Path) -> str:
    ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    number = name.rpartition(" ")[2]
    file = log_dir / ("scheduler.log" if name == SCHEDULER else f"worker_{number}.log")
    if not file.exists() or number == "0":
        return f"{name} {ended}: see above; run the same command again to resume"
    lines = [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{name} {ended}: {lines[-1] if lines else 'without a word'}; see {file}"


@contextlib.contextmanager
def _meeting(machine: Machine, log_dir: Path, first: FirstMachine) -> Iterator[tuple[str, str] | None]:
    """Address and port of the scheduler, which the first machine writes to log_dir/meeting; None: it has passed by.

    It holds a lock on the file beside it meanwhile: what a killed run has left is therefore not taken for a meeting.
    """
    path = log_dir / "meeting"
    with open(log_dir / "meeting.lock", "a") as lock:
        if machine.rank > 0:
            yield _met(path, lock, first)
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        address, port = machine.address, os.environ.get("MASTER_PORT") or _free_port()
        with atomic_write(path) as stream:
            stream.write(f"{address} {port}\n")
        try:
            yield address, port
        finally:
            path.unlink(missing_ok=True)


def _met(path: Path, lock: IO, first: FirstMachine) -> tuple[str, str] | None:
    """What the first machine has written, or None when it has passed by since. UserError: its run has ended."""
    begin, seen, told, known = time.time(), "", False, False
    while True:
        text = path.read_text() if path.exists() else ""
        if text and text == seen and _locked(lock):
            address, port = text.split()
            return address, port
        seen = text
        if first.passed and first.passed.exists() and first.passed.stat().st_mtime > begin:
            log.info("the first machine needs no training here")
            return None
        if first.alive and first.alive.exists():
            with open(first.alive) as stream:
                alive = _locked(stream)
            if known and not alive:
                raise UserError("the run on the first machine (NODE_RANK=0) has ended: see its output, then start both again")
            known = known or alive
        if not told:
            log.info("waiting for the first machine (NODE_RANK=0)")
        told = True
        time.sleep(CALM)


def _locked(stream: IO) -> bool:
    """Whether another process holds a lock on the file."""
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(stream, fcntl.LOCK_UN)
    return False


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return str(probe.getsockname()[1])
