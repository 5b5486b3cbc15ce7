"""Several processes of one computation on this machine; the first that fails ends all."""

import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from asrlib.utils.errors import UserError
from asrlib.utils.parallel import cores, end_with_parent

REMEDY = "run the same command again to resume"


@dataclass(frozen=True)
class Rank:
    """A process among `size`; meeting: a file, of this run alone, by which the processes find each other."""

    number: int = 0
    size: int = 1
    meeting: str = ""


def run_ranks(function: Callable[..., None], size: int, *arguments: object) -> None:
    """Runs function(Rank, *arguments) in `size` processes, which end with this one, even if it is killed.

    function: importable by name; it may start processes of its own. The cores are divided among the processes, unless OMP_NUM_THREADS is set.
    UserError: that of the first process that failed, or its exception or signal; the others are killed.
    """
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, tuple[int, multiprocessing.context.SpawnProcess]] = {}
    with tempfile.TemporaryDirectory() as folder, _variables(max(1, cores() // size)):
        try:
            for number in range(size):
                receiver, sender = context.Pipe(duplex=False)
                rank = Rank(number, size, str(Path(folder) / "meeting"))
                process = context.Process(target=_run, args=(sender, os.getpid(), rank, function, arguments))
                process.start()
                sender.close()
                running[receiver] = number, process
            while running:  # a data loader's workers hold the pipe of a killed process open: look at the processes, too
                ready = wait(list(running), timeout=0.5) or [receiver for receiver, (_, process) in running.items() if not process.is_alive()]
                faults = [fault for receiver in ready if (fault := _outcome(receiver, *running.pop(receiver)))]
                if faults:
                    raise min(faults, key=lambda fault: fault.order).error
        finally:
            for _, process in running.values():
                process.kill()
                process.join()


@dataclass(frozen=True)
class _Fault:
    """Why a process failed. order: of two that fail at once, a killed one (0) is the cause of the other's broken connection (1)."""

    order: int
    error: UserError


def _outcome(receiver: Connection, number: int, process: multiprocessing.process.BaseProcess) -> _Fault | None:
    """What a process that has answered or ended says."""
    try:
        if not receiver.poll():
            raise EOFError
        answer: UserError | None = receiver.recv()
    except EOFError:
        process.join()
        return _Fault(0, UserError(f"process {number} {_ending(process.exitcode or 0)}: {REMEDY}"))
    finally:
        receiver.close()
    if answer is None:
        process.join()
        return None
    process.kill()
    process.join()
    return _Fault(1, answer)


def _ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")


def _run(sender: Connection, parent: int, rank: Rank, function: Callable[..., None], arguments: tuple) -> None:
    """Runs in each process: sends None or a UserError."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends all
    answer = None
    try:
        function(rank, *arguments)
    except UserError as error:
        answer = error
    except BaseException as error:
        traceback.print_exc()
        answer = UserError(f"process {rank.number}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    sys.stdout.flush()
    sys.stderr.flush()
    sender.send(answer)


@contextmanager
def _variables(threads: int) -> Iterator[None]:
    """Processes started in this context use `threads` threads each, unless OMP_NUM_THREADS is set; of semaphores of killed ones nothing is said."""
    before = dict(os.environ)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before.get("PYTHONWARNINGS"), "ignore:resource_tracker:UserWarning")))
    try:
        yield
    finally:
        for name in ("OMP_NUM_THREADS", "PYTHONWARNINGS"):
            os.environ.pop(name)
            os.environ.update({name: before[name]} if name in before else {})
