"""A Slurm of two nodes on this machine, started for the tests and ended after them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "slurm.sh"
INSTALL = "tests/cluster/slurm.sh install"


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """Slurm's commands reach it in this block; tests are skipped where it cannot be started."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a Slurm")
    if missing := [program for program in ("slurmctld", "slurmd", "munged") if shutil.which(program) is None]:
        pytest.skip(f"{missing[0]} is not installed: run {INSTALL}")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        subprocess.run([SCRIPT, "start", folder], check=True)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        yield
    finally:
        os.environ.pop("SLURM_CONF", None)
        subprocess.run([SCRIPT, "stop", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)
