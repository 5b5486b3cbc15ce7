"""Commands of asrlib.bin in processes of their own."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from asrlib.utils.errors import UserError


def run_command(name: str, options: Sequence[str], threads: int, label: str = "") -> None:
    """Runs asrlib.bin.NAME with so many threads (unless OMP_NUM_THREADS is set), its output going to ours; it ends with this process, however that ends.

    The daemonic processes of run_jobs may have no processes of Python's own kind, such as those that load data; a command may.
    UserError: it failed, with the last line it said, after `label`.
    """
    libc, parent = ctypes.CDLL(None), os.getpid()

    def end_with_parent() -> None:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    words, said = [sys.executable, "-m", f"asrlib.bin.{name}", *options], ""
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=end_with_parent) as process:
        assert process.stderr is not None  # a pipe was asked for
        for line in process.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            said = line.strip() or said
    if process.returncode < 0:
        said = f"killed by {signal.Signals(-process.returncode).name}; the same command goes on"
    if process.returncode:
        raise UserError(label + said.removeprefix(f"{name}: error: "))
