"""egs/common/begin.sh: error messages and directories."""

import subprocess

import pytest

from tests.shell.conftest import ROOT, bash

SCRIPT = f"""#!/usr/bin/env bash
. "{ROOT}/egs/common/begin.sh"
inner() {{ grep nothing /dev/null; }}
outer() {{ inner; echo not reached; }}
"""


@pytest.fixture
def fails(write_script):
    """fails(line): the only error message of a script that ends in this line, without the name of the script."""

    def call(line: str) -> str:
        script = write_script("run.sh", SCRIPT + line + "\necho not reached\n")
        done = bash(script)
        assert done.returncode != 0 and done.stdout == ""
        (message,) = done.stderr.splitlines()
        assert message.startswith(f"{script}: error: {script}, line ")
        return message.removeprefix(f"{script}: error: {script}, ")

    return call


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("inner", "line 3: exit code 1 of: grep nothing /dev/null"),
        ("outer", "line 3: exit code 1 of: grep nothing /dev/null"),
        ("value=$(outer)", "line 5: exit code 1 of: value=$(outer)"),
        ("value=a$(true && false)", "line 5: exit code 1 of: value=a$(true && false)"),
        ("(inner)", "line 5: exit code 1 of: ( inner )"),
        ("inner | cat", "line 5: exit code 1 of: cat"),
        ("[ -e /nonexistent ]", "line 5: exit code 1 of: [ -e /nonexistent ]"),
        ("$(exit 3)", "line 5: exit code 3 of: $(exit 3)"),
    ],
)
def test_an_error_is_reported_once_with_its_line(fails, line, message):
    assert fails(line) == message


@pytest.mark.parametrize(
    "line",
    ["inner || true", "if inner; then :; fi", "! inner", "value=$(inner || echo none)", "[ -e /nonexistent ] || true", "mapfile -t a < <(inner)"],
)
def test_handled_failures_are_not_reported(write_script, line):
    done = bash(write_script("run.sh", SCRIPT + line + "\necho reached\n"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "reached\n", "")


def test_folders(write_script, tmp_path):
    """The directories of the recipe and the caller: called from another directory, through a link, with spaces, with CDPATH."""
    script = write_script("some where/egs/run.sh", SCRIPT + 'printf "%s|%s|%s\\n" "$recipe" "$PWD" "$called_from"\n')
    (tmp_path / "a link.sh").symlink_to(script)
    elsewhere = tmp_path / "other folder"
    elsewhere.mkdir()
    for called in (script, tmp_path / "a link.sh", "../some where/egs/run.sh"):
        done = bash(called, cwd=elsewhere, env={"CDPATH": f"{tmp_path}:.:/tmp"})
        assert done.stdout == f"{script.parent}|{script.parent}|{elsewhere}\n" and done.stderr == ""


@pytest.mark.parametrize("shell", [["sh"], ["bash", "--posix"]])
def test_called_with_sh(shell):
    """Recipes of other projects are called so."""
    folder = ROOT / "egs/custom/deepspeech2"
    done = subprocess.run([*shell, "run.sh", "--help"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("DeepSpeech2 trained from scratch")
