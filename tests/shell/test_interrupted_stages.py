"""egs/common/stages.sh: stages that are killed, interrupted, or run by several machines."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.shell.conftest import bash
from tests.shell.test_stages import ALL, call, recipe  # noqa: F401  (two fixtures)


def wait_for(path: Path) -> None:
    """Until the command of a stage has made the file."""
    deadline = time.time() + 20
    while not path.exists():
        assert time.time() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("whole_group", [True, False])
def test_killed_and_started_again(recipe, call, write_script, tmp_path, whole_group):  # noqa: F811
    """SIGKILL in stage 2: the next call runs the stage again, and waits for a command that is still running."""
    slow = '#!/usr/bin/env bash\necho "copy $1" >>calls\necho half >"$2"\ntouch started\nsleep 1.5\ncp "$1" "$2"\necho end >>calls\n'
    write_script("copy.sh", slow)
    process = subprocess.Popen(["bash", str(recipe)], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(tmp_path / "started")
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "work/b/.stages/2.done").exists()
    output, calls = call()
    assert "stage 1: writing: skipped" in output
    assert ("another run has locked work/b: waiting" in output) == (not whole_group)
    assert calls[-2:] == ["copy work/a/out.txt", "end"]
    assert (tmp_path / "work/b/out 2.txt").read_text() == "hello\n"
    assert call()[1] == []


def test_interrupt_prints_the_command_to_resume(recipe, write_script, tmp_path):  # noqa: F811
    write_script("copy.sh", "#!/usr/bin/env bash\ntouch started\nsleep 20\n")
    process = subprocess.Popen(
        ["bash", str(recipe)], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(tmp_path / "started")
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.endswith(f"stage 2 (copying) failed: interrupted\nTo resume: {tmp_path}/run.sh --stage 2\n")


def test_sigterm_ends_the_command_that_runs(recipe, write_script, tmp_path):  # noqa: F811
    """Also if it is sent to the recipe alone; the command can clean up before."""
    write_script("copy.sh", "#!/usr/bin/env bash\ntrap 'echo cleaned; kill $!; exit 143' TERM\nsleep 30 &\ntouch started\nwait\n")
    process = subprocess.Popen(["bash", str(recipe)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(tmp_path / "started")
    os.kill(process.pid, signal.SIGTERM)
    output, error = process.communicate(timeout=20)
    assert process.returncode == 130 and "cleaned" in output
    assert error.endswith(f"stage 2 (copying) failed: interrupted\nTo resume: {tmp_path}/run.sh --stage 2\n")
    assert not (tmp_path / "work/b/.stages/2.done").exists()


def test_several_machines_in_one_folder(recipe, write_script, tmp_path):  # noqa: F811
    """The first runs the stages; the second takes part in stage 3 alone, takes no lock, and has nothing to do once all is finished."""
    meet = '#!/usr/bin/env bash\necho "train $NODE_RANK" >>calls\ntouch "here$NODE_RANK"\nuntil [ -e here0 ] && [ -e here1 ]; do sleep 0.05; done\n'
    write_script("train.sh", meet)
    begun = [
        subprocess.Popen(
            ["bash", str(recipe), "--num_nodes", "2"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"NODE_RANK": rank},
        )
        for rank in ("1", "0")
    ]  # fmt: skip
    second, first = (process.communicate(timeout=60)[0] for process in begun)
    assert [process.returncode for process in begun] == [0, 0], first + second
    calls = (tmp_path / "calls").read_text().splitlines()
    assert sorted(calls) == sorted([*ALL, "train 0", "train 1"])
    assert "stage 3: training: with the first machine" in second and "stage 1" not in second and "Successfully finished" in first
    again = bash(recipe, "--num_nodes", "2", cwd=tmp_path, env={"NODE_RANK": "1"})
    assert again.returncode == 0 and "nothing to do on machine 1" in again.stdout
    assert (tmp_path / "work/c/.stages/3.passed").exists()
