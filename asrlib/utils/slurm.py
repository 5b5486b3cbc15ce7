"""Jobs on a Slurm cluster: submitted with submitit under the name of their run, awaited, and cancelled as soon as nobody waits for them.

LOG_DIR/slurm/run holds the name of the run, which is that of its jobs, and their number; who waits for them holds a lock on LOG_DIR/slurm/lock. A job
begins only while the file has its name, so that one that an ended run has left in the queue does nothing.
"""

import contextlib
import os
import re
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from asrlib.utils.backend import Backend
from asrlib.utils.errors import UserError
from asrlib.utils.files import held
from asrlib.utils.log import get_logger
from asrlib.utils.slurm_queue import LIVE, Entry, accounted, cancel, ending, hopeless, listed, waits_for

log = get_logger(__name__)

SECONDS = 60  # in which a file of another machine becomes visible here, and a job in the queue
LOCAL = "use --cmd_backend local on a machine without Slurm"


class Submission:
    """The jobs of one call of run_jobs. paths: of each, as submitit gives them."""

    def __init__(self, folder: Path, name: str, jobs: Sequence[Any], desc: str):
        self.folder, self.name, self.desc = folder, name, desc
        self.paths = [job.paths for job in jobs]
        self.ids = [str(job.job_id) for job in jobs]
        self.tasks = [[task.paths for task in job._sub_jobs] if job.num_tasks > 1 else [job.paths] for job in jobs]

    @property
    def number(self) -> str:
        """That Slurm has given to all of them."""
        return self.ids[0].partition("_")[0]

    def entries(self, waiting: Collection[int]) -> dict[int, Entry] | None:
        """What Slurm says of each job, by its index; jobs that it does not know are left out. None: it does not answer."""
        found = listed(self.name)
        if found is None:
            return None
        if any(self.ids[index] not in found for index in waiting):
            found = accounted(self.number) | found
        return {index: found[self.ids[index]] for index in waiting if self.ids[index] in found}

    def result(self, index: int) -> tuple[str, Any] | None:
        """("success", result), ("error", traceback) or ("refused", UserError) of a job that has ended; None: it has left nothing so far."""
        from submitit.core.utils import pickle_load

        for paths in reversed(self.tasks[index]):  # of several tasks, the first gives the result
            with contextlib.suppress(FileNotFoundError):
                outcome, value = pickle_load(paths.result_pickle)
                if outcome == "success" and isinstance(value, UserError):
                    outcome = "refused"
                if outcome != "success" or paths is self.tasks[index][0]:
                    return outcome, value
        return None

    def move_logs(self, index: int, log: Path) -> None:
        """The output of a job to `log`, that of its other tasks beside it."""
        for number, paths in enumerate(self.tasks[index]):
            with contextlib.suppress(FileNotFoundError):  # it never started
                os.replace(paths.stdout, log.with_suffix(f".task{number}.log") if number else log)


@contextlib.contextmanager
def submitted(function: Callable[..., Any], arguments: Sequence[tuple], log_dir: Path, nj: int, backend: Backend, desc: str) -> Iterator[Submission]:
    """The jobs function(*a) for a in arguments, nj at once. If the block ends with an exception, by SIGTERM and Ctrl-C, too, they are cancelled.

    UserError: there is no Slurm, it refuses the jobs, or another process waits for jobs with these logs.
    """
    folder = (log_dir / "slurm").absolute()
    if shutil.which("sbatch") is None:
        raise UserError(f"--cmd_backend slurm: there is no sbatch: {LOCAL}")
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / "lock", f"{log_dir}: another process waits for jobs with logs in this folder: wait for it, or end it"), interruptible():
        _cancel(folder)
        name = f"{re.sub('[^A-Za-z0-9_.-]', '_', desc)}-{uuid.uuid4().hex[:8]}"
        (folder / "run").write_text(name + "\n")  # before the jobs: whenever this process is killed, they are found by their name
        try:
            submission = Submission(folder, name, _submit(function, arguments, folder, name, nj, backend), desc)
            with open(folder / "run", "a") as stream:  # a job may read it at any time
                stream.write(f"{submission.number}\n")
            log.info("%s: Slurm job %s with %d parts", desc, submission.number, len(arguments))
            yield submission
        except BaseException:
            _cancel(folder)
            raise
        _forget(folder)


def ended(submission: Submission, meanwhile: Callable[[], None] = lambda: None) -> Iterator[tuple[int, str, Any]]:
    """Index of a job, "success", "error", "refused" or "failed", and its result, traceback, UserError or ending in words: of each as it ends.

    What pending jobs wait for is logged when it changes. meanwhile: called again and again.
    """
    begin, waiting, gone, told = time.monotonic(), set(range(len(submission.ids))), dict[int, float](), ""
    while True:
        for index in sorted(waiting):
            if (found := submission.result(index)) is not None:
                waiting.discard(index)
                yield index, *found
        meanwhile()
        if not waiting:
            return
        entries, now = submission.entries(waiting), time.monotonic()
        for index in () if entries is None else sorted(waiting):
            entry = (entries or {}).get(index)
            if entry and entry.state in LIVE:
                gone.pop(index, None)
                why = hopeless(entry) if entry.state == "PENDING" else ""
            else:  # its result may not be visible on this machine yet
                patience = SECONDS if entry is None or entry.state == "COMPLETED" else SECONDS / 20
                why = ending(entry) if now - gone.setdefault(index, now) > patience else ""
            if why:
                waiting.discard(index)
                yield index, "failed", why
        words = waits_for(entries.values()) if entries is not None else "Slurm does not answer"
        if words and words != told:
            log.info("%s: %s", submission.desc, words)
        told = words or told
        time.sleep(min(10.0, 0.3 + (now - begin) / 30))


def cancel_left(log_dir: Path) -> None:
    """Cancels the jobs that a killed run with logs in this folder has left. UserError: they cannot be cancelled from here, or are awaited."""
    folder = log_dir.absolute() / "slurm"
    if (folder / "run").is_file():
        with held(folder / "lock", f"{log_dir}: another process waits for its jobs on Slurm: wait for it, or end it"):
            _cancel(folder)


def _cancel(folder: Path) -> None:
    """Cancels the jobs of the run that the file `run` names, waits until no node runs one, and removes their files."""
    run = folder / "run"
    words = run.read_text().split() if run.is_file() else []
    if words:
        if shutil.which("scancel") is None:
            raise UserError(
                f"jobs {words[0]} of an earlier run may be in Slurm's queue, and there is no scancel here: cancel them, then remove {run}"
            )
        cancel(words[0])
    _forget(folder)


def _forget(folder: Path) -> None:
    """Removes the files of the run that the file `run` names: its jobs have ended."""
    run = folder / "run"
    for name in run.read_text().split()[:1] if run.is_file() else ():
        shutil.rmtree(folder / name, ignore_errors=True)
    run.unlink(missing_ok=True)


def _submit(function: Callable[..., Any], arguments: Sequence[tuple], folder: Path, name: str, nj: int, backend: Backend) -> Sequence[Any]:
    import submitit
    from submitit.core.utils import FailedJobError

    options = backend.options()
    srun = [
        "--kill-on-bad-exit=1",
        *([f"--cpus-per-task={options['cpus_per_task']}"] if "cpus_per_task" in options else []),
    ]  # not sbatch's since 22.05
    more = options | {"signal": "CONT@1"}  # submitit's USR2, a minute and a half before the end, would end shorter jobs at their beginning
    try:
        with _outside_of_jobs():
            executor = submitit.SlurmExecutor(folder=folder / name)
            executor.update_parameters(
                job_name=name, array_parallelism=nj, stderr_to_stdout=True, time=None, wckey=None, nodes=backend.nodes,
                ntasks_per_node=1, srun_args=srun, additional_parameters=more,
            )  # fmt: skip
            return executor.map_array(_task, *zip(*((folder / "run", name, function, a) for a in arguments), strict=True))
    except (RuntimeError, FailedJobError, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UserError(f"--cmd_backend slurm: {next((line for line in lines if 'error:' in line), lines[0] if lines else error)}; {LOCAL}") from None


def _task(run: Path, name: str, function: Callable[..., Any], arguments: tuple) -> Any:
    """What a job does: function(*arguments), or why it does not."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # submitit ignores it: a cancelled job would go on until it is killed
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # with which submitit puts jobs back into the queue, again and again
    deadline = time.monotonic() + SECONDS
    while not run.exists() and time.monotonic() < deadline:  # it may not be visible on this machine yet
        time.sleep(1)
    if not run.exists() or run.read_text().split()[:1] != [name]:
        return UserError(f"nobody waits for the jobs {name} any more")
    try:
        return function(*arguments)
    except UserError as error:
        return error


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """The first SIGTERM or Ctrl-C raises KeyboardInterrupt in this block; others do not disturb what then happens. In other threads: nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)

    def interrupt(*_: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    former = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, former, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Without the variables of a job that this process itself runs in, which would become options of the new one."""
    own = (
        [name for name in os.environ if name.startswith(("SLURM_", "SLURMD_", "SRUN_")) and name != "SLURM_CONF"]
        if "SLURM_JOB_ID" in os.environ
        else []
    )
    former = {name: os.environ.pop(name) for name in own}
    try:
        yield
    finally:
        os.environ.update(former)
