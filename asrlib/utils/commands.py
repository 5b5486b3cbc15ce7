"""Runs commands of asrlib.bin as child processes."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from asrlib.utils.errors import UserError


def run_command(name: str, options: Sequence[str], threads: int, label: str = "", variables: Mapping[str, str] | None = None) -> None:
    """Runs asrlib.bin.NAME with `threads` threads (unless OMP_NUM_THREADS is set) and forwards its output; it is killed if this process ends.

    variables: added to its environment. The daemonic processes of run_jobs cannot start multiprocessing children such as data loaders; a command can.
    UserError: the command failed; the message is `label` and the last line that the command wrote.
    """
    libc, parent = ctypes.CDLL(None), os.getpid()

    def end_with_parent() -> None:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    environment = {"OMP_NUM_THREADS": str(threads), **os.environ, **(variables or {})}
    command, last_line = [sys.executable, "-m", f"asrlib.bin.{name}", *options], ""
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=end_with_parent) as process:
        assert process.stderr is not None  # a pipe was asked for
        for line in process.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            last_line = line.strip() or last_line
    if process.returncode < 0:
        last_line = f"killed by {signal.Signals(-process.returncode).name}; run the same command again to resume"
    if process.returncode:
        raise UserError(label + last_line.removeprefix(f"{name}: error: "))
