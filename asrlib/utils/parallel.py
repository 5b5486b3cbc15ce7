"""Parallel jobs: local processes, or an array of jobs on Slurm (submitit).

Local jobs do not use submitit, whose local jobs all start at once, outlive a killed parent and hide the signal that killed them.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar, cast

from asrlib.utils import slurm
from asrlib.utils.backend import LOCAL, Backend
from asrlib.utils.errors import UserError
from asrlib.utils.progress import progress

T = TypeVar("T")

LIBC = ctypes.CDLL(None)  # loaded before a process forks
TAIL_LINES = 5  # of a failed job's log, in the error


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def end_with_parent(parent: int) -> None:
    """Lets this process end when its parent, the process with that id, ends, even if it is killed."""
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def split_evenly(items: Sequence[T], n: int) -> list[Sequence[T]]:
    """At most `n` parts (0: one per core) in the order of `items`, none empty, whose sizes differ by at most one."""
    n = min(n or cores(), len(items))
    bounds = [len(items) * i // n for i in range(n + 1)] if n else []
    return [items[begin:end] for begin, end in zip(bounds, bounds[1:], strict=False)]


def run_jobs(
    function: Callable[..., T],
    arguments: Sequence[tuple],
    log_dir: str | Path,
    nj: int = 0,
    backend: Backend = LOCAL,
    desc: str = "jobs",
    keep: Callable[[int, T], None] = lambda index, result: None,
) -> list[T]:
    """[function(*a) for a in arguments]; job N (from 1) writes its output to log_dir/N.log; results are in the order of the arguments.

    function: importable by name from its module; arguments and results are pickled between the processes. What it writes is under a name of this run
    (files.run_folder), because a job of a killed run may still be in a queue.
    nj: parallel jobs, 0: as many as cores; with nj 1, local jobs run in this process, without log files.
    backend: local processes, or jobs on Slurm. keep: called with the index and result of each job as it ends.
    The first failed job stops the others. UserError: the failed job's own, or one with its signal, exit code, state or exception and the end of its
    log.
    """
    nj, log_dir = max(1, min(nj or cores(), len(arguments))), Path(log_dir)
    if backend.slurm:
        return _run_slurm(function, arguments, log_dir, nj, backend, desc, keep) if arguments else []
    slurm.cancel_left(log_dir)
    if nj > 1:
        return _run_local(function, arguments, log_dir, nj, desc, keep)
    results = []
    for index, job in enumerate(arguments):
        results.append(function(*job))
        keep(index, results[-1])
    return results


def _run_local(function: Callable[..., T], arguments: Sequence[tuple], log_dir: Path, nj: int, desc: str, keep: Callable[[int, T], None]) -> list[T]:
    log_dir.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")  # no threads or locks of this process in the jobs
    waiting = list(enumerate(arguments))[::-1]
    running: dict[Connection, tuple[int, multiprocessing.context.SpawnProcess]] = {}
    results: dict[int, T] = {}
    bar = progress(desc=desc, total=len(arguments), unit="job")
    try:
        while waiting or running:
            while waiting and len(running) < nj:
                index, job = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_job, args=(sender, os.getpid(), _log(log_dir, index), function, job), daemon=True)
                with _one_thread():
                    process.start()
                sender.close()
                running[receiver] = index, process
            for ready in wait(list(running)):
                receiver = cast(Connection, ready)
                index, process = running.pop(receiver)
                results[index] = _receive(receiver, process, _log(log_dir, index), f"{desc}: job {index + 1} of {len(arguments)}")
                keep(index, results[index])
                bar.update()
    finally:
        bar.close()
        for _, process in running.values():
            process.kill()
            process.join()
    return [results[index] for index in range(len(arguments))]


def _receive(receiver: Connection, process: multiprocessing.process.BaseProcess, log: Path, name: str) -> Any:
    """The result of a job that has sent it or ended."""
    try:
        fault, result = receiver.recv()
    except EOFError:  # the process ended without an answer
        fault, result = "", None
    finally:
        receiver.close()
    process.join()
    assert process.exitcode is not None  # it has ended
    if process.exitcode == 0 and fault is None:
        return result
    if process.exitcode < 0:
        number = -process.exitcode
        fault = f"killed by {signal.Signals(number).name}" + (" (out of memory?)" if number == signal.SIGKILL else "")
    if isinstance(fault, UserError):
        raise fault
    raise _failure(name, fault or f"exit code {process.exitcode}", log)


def _job(sender: Connection, parent: int, log: Path, function: Callable, arguments: tuple) -> None:
    """Runs in the process of a job: sends (None, result), (UserError, None) or (description of another exception, None)."""
    end_with_parent(parent)
    with open(log, "w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    answer: tuple[UserError | str | None, Any]
    try:
        answer = (None, function(*arguments))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        answer = (error, None)
    except BaseException as error:
        traceback.print_exc()
        answer = (f"{type(error).__name__}: {error}", None)
    sender.send(answer)
    sys.stderr.flush()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started in this context use one thread each (unless OMP_NUM_THREADS is set), because there are as many processes as cores."""
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]


def _run_slurm(
    function: Callable[..., T], arguments: Sequence[tuple], log_dir: Path, nj: int, backend: Backend, desc: str, keep: Callable[[int, T], None]
) -> list[T]:
    logs, results = [_log(log_dir, index) for index in range(len(arguments))], dict[int, T]()
    for log in logs:
        log.unlink(missing_ok=True)  # of a former run
    with (
        _one_thread() if backend.kind == "array" else contextlib.nullcontext(),
        slurm.submitted(function, arguments, log_dir, nj, backend, desc) as jobs,
    ):
        bar = progress(desc=desc, total=len(arguments), unit="job")
        try:
            for index, outcome, value in slurm.ended(jobs):
                jobs.move_logs(index, logs[index])
                if outcome == "refused":
                    raise value
                if outcome != "success":
                    fault = value if outcome == "failed" else value.strip().splitlines()[-1]
                    raise _failure(f"{desc}: job {index + 1} of {len(arguments)} (Slurm's {jobs.ids[index]})", fault, logs[index])
                results[index] = value
                keep(index, value)
                bar.update()
        finally:
            bar.close()
            for index, log in enumerate(logs):
                jobs.move_logs(index, log)
    return [results[index] for index in range(len(arguments))]


def _log(log_dir: Path, index: int) -> Path:
    return log_dir / f"{index + 1}.log"


def _failure(name: str, fault: str, log: Path) -> UserError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    said = [line.strip() for line in lines if line.strip() and not line.startswith("submitit INFO ")]
    tail = " | ".join(said[-TAIL_LINES:])
    return UserError(f"{name}: {fault}; see {log}" + (f": {tail}" if tail else ""))
