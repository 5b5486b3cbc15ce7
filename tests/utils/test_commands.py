"""Commands as child processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrlib.utils.commands import run_command
from asrlib.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_what_it_says_last_is_the_error(capfd):
    with pytest.raises(UserError, match=r"^system a: .*none: no such file"):
        run_command("score", ["--ref", "none", "--hyp", "none", "--unit", "char", "--out", "none"], 1, "system a: ")
    assert "score: error: none" in capfd.readouterr().err


@pytest.fixture
def sleeper(tmp_path, monkeypatch):
    """A command that prints its threads and process id and sleeps."""
    package = tmp_path / "asrlib/bin"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()  # without it, the installed package would be imported
    (package / "sleeper.py").write_text(
        "import os, sys, time\nopen(sys.argv[1], 'w').write(f'{os.environ[\"OMP_NUM_THREADS\"]} {os.getpid()} ')\ntime.sleep(float(sys.argv[2]))\n"
    )
    monkeypatch.setattr(os, "environ", os.environ | {"PYTHONPATH": str(tmp_path)})
    monkeypatch.chdir(tmp_path)  # python -m searches this folder first
    return tmp_path / "said"


def test_threads(sleeper, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run_command("sleeper", [str(sleeper), "0"], 3)
    assert sleeper.read_text().split()[0] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run_command("sleeper", [str(sleeper), "0"], 3)
    assert sleeper.read_text().split()[0] == "7"
    run_command("sleeper", [str(sleeper), "0"], 3, variables={"OMP_NUM_THREADS": "5"})
    assert sleeper.read_text().split()[0] == "5"


def test_it_ends_with_a_killed_parent(sleeper):
    imports = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from asrlib.utils.commands import run_command"
    code = f"{imports}; run_command('sleeper', [{str(sleeper)!r}, '60'], 1)"
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ, cwd=sleeper.parent)
    deadline = time.time() + 30
    while not (sleeper.exists() and sleeper.read_text().endswith(" ")):
        assert time.time() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    status = Path(f"/proc/{sleeper.read_text().split()[1]}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.time() < deadline
        time.sleep(0.02)
