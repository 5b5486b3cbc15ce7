"""A command of asrlib.bin as one job on Slurm, whose output is shown here while it runs."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from asrlib.utils import slurm
from asrlib.utils.backend import Backend
from asrlib.utils.commands import run_command
from asrlib.utils.errors import UserError

NOISE = b"submitit INFO "


def submit(name: str, options: Sequence[str], log_dir: Path, backend: Backend) -> None:
    """Runs asrlib.bin.NAME as a job, on each of backend.nodes machines; its output goes to log_dir/1.log.

    UserError: its own, or how the job ended.
    """
    log = log_dir / "1.log"
    with slurm.submitted(run_here, [(name, list(options))], log_dir, 1, backend, name) as job:
        shown = Shown(Path(job.paths[0].stdout))
        try:
            for _, outcome, value in slurm.ended(job, shown.more):
                shown.more()
                if outcome == "refused":
                    raise value
                if outcome != "success":
                    fault = value if outcome == "failed" else value.strip().splitlines()[-1]
                    raise UserError(f"{name} (Slurm's job {job.number}): {fault}; see {log}; run the same command again to resume")
        finally:
            job.move_logs(0, log)


def run_here(name: str, options: Sequence[str]) -> None:
    """What the job does: the command, with the cores that it was given."""
    run_command(name, options, int(os.environ.get("SLURM_CPUS_PER_TASK", 0)))


class Shown:
    """Copies what is added to a file to standard output, line by line, without submitit's own lines."""

    def __init__(self, path: Path):
        self.path, self.place = path, 0

    def more(self) -> None:
        """Shows what is new."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as stream:
            stream.seek(self.place)
            text, newline, _ = stream.read().rpartition(b"\n")
        self.place += len(text + newline)
        lines = [line for line in text.split(b"\n") if not line.startswith(NOISE)] if newline else []
        sys.stdout.write("".join(line.decode("utf-8", "replace") + "\n" for line in lines))
        sys.stdout.flush()
