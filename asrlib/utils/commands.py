"""Runs commands of asrlib.bin as child processes."""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from asrlib.utils.errors import UserError
from asrlib.utils.parallel import end_with_parent


def run_command(name: str, options: Sequence[str], threads: int, label: str = "", variables: Mapping[str, str] | None = None) -> None:
    """Runs asrlib.bin.NAME with `threads` threads (unless 0, or OMP_NUM_THREADS is set) and forwards its output; it is killed if this process ends.

    variables: added to its environment. The daemonic processes of run_jobs cannot start multiprocessing children such as data loaders; a command can.
    UserError: the command failed; the message is `label` and the last line that the command wrote.
    """
    environment = ({"OMP_NUM_THREADS": str(threads)} if threads else {}) | dict(os.environ) | dict(variables or {})
    command, last_line = command_line(name, options), ""
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=ending_with_this()) as process:
        assert process.stderr is not None  # a pipe was asked for
        for line in process.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            last_line = line.strip() or last_line
    if process.returncode < 0:
        last_line = f"killed by {signal.Signals(-process.returncode).name}; run the same command again to resume"
    if process.returncode:
        raise UserError(label + last_line.removeprefix(f"{name}: error: "))


def command_line(name: str, options: Sequence[str]) -> list[str]:
    """The words that run asrlib.bin.NAME in a process."""
    return [sys.executable, "-m", f"asrlib.bin.{name}", *options]


def ending_with_this() -> Callable[[], None]:
    """Popen's preexec_fn for children that are killed when this process ends."""
    return functools.partial(end_with_parent, os.getpid())
