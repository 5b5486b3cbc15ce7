"""tools/setup.sh: its errors, and when it creates the environment again; never a whole installation."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from tests.shell.conftest import ROOT, bash

TOOLS = ("awk", "bash", "cat", "chmod", "cp", "df", "flock", "grep", "head", "mkdir", "mv", "rm", "sed", "sha256sum", "tail", "touch", "uname")

# A Python whose venv holds a fake pip. NETWORK=false: nothing can be downloaded; UV=false: uv cannot; TORCH=false: there is no CPU build; CUDA=true:
# every torch is a build with CUDA; PROJECT=false: the project cannot be installed.
PYTHON = """#!/usr/bin/env bash
case "$1 $2" in
    "-c "*nvidia*) [ "$CUDA" = false ] ;;
    "-c "*S_IXOTH*) [ "${0##*/}" != "$PRIVATE" ] || echo private ;;
    "-c "*) echo "$FAULT" ;;
    "-m venv") mkdir -p "$3/bin" "$3/lib/python3.11/site-packages/torchaudio/lib" && cp "$0" "$3/bin/python"
               touch "$3/lib/python3.11/site-packages/torchaudio/lib/x.so" ;;
    "-m pip")
        echo "pip ${*:4}" >>"$CALLS"
        case "$*" in
            *"config get"*) exit 1 ;;
            *" uv=="*) [ "$NETWORK$UV" = truetrue ] || { echo "ERROR: no uv" && exit 1; }
                       printf '#!/usr/bin/env bash\\necho "uv ${*: -1}" >>"$CALLS"\\n[ "$UV_INSTALLS" = true ]\\n' >"${0%/*}/uv"
                       chmod +x "${0%/*}/uv" ;;
            *" torch=="*) [ "$TORCH" = true ] || { echo "ERROR: no torch" && exit 1; } ;;
            *" -e "*) [ "$PROJECT" = true ] || { echo "ERROR: read-only" && exit 1; } ;;
            *) [ "$NETWORK" = true ] || { echo "ERROR: Could not find a version that satisfies the requirement" && exit 1; } ;;
        esac ;;
esac
"""


@pytest.fixture
def project(tmp_path, write_script):
    """A project of tools alone, and a PATH with a python3.11 that installs nothing."""
    for name in ("setup.sh", "requirements.lock"):
        (tmp_path / "tools").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools" / name)
    for name in TOOLS:
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    write_script("bin/c++", "#!/usr/bin/env bash\n")
    write_script("bin/python3.11", PYTHON)
    return tmp_path


@pytest.fixture
def setup(project):
    """setup(options, code=, VARIABLE=value): the messages, and the calls of pip and uv."""

    def call(*arguments: str, code: int = 0, **variables: str) -> tuple[str, list[str]]:
        calls = project / "calls"
        calls.write_text("")
        env = {
            "PATH": str(project / "bin"),
            "CALLS": str(calls),
            "FAULT": "",
            "NETWORK": "true",
            "UV": "true",
            "UV_INSTALLS": "true",
            "TORCH": "true",
            "CUDA": "false",
            "PROJECT": "true",
            "PRIVATE": "",
        }
        env |= {"PYTHON": "", "PIP_INDEX_URL": ""} | variables
        done = bash(project / "tools/setup.sh", *arguments, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        if code:
            assert done.stderr.splitlines()[-1].startswith("tools/setup.sh: "), done.stderr
        return done.stderr, calls.read_text().splitlines()

    return call


def test_no_python(project, setup):
    (project / "bin/python3.11").unlink()
    message, _ = setup(code=1)
    assert message == (
        "tools/setup.sh: error: no suitable Python (3.10, 3.11 or 3.12 with venv and headers): install one, or set the variable PYTHON to one\n"
    )


def test_unsuitable_python_says_why(setup):
    assert "; python3.11 is too old: install one" in setup(code=1, FAULT="is too old")[0]


def test_named_python_is_judged(setup, project, write_script):
    """The Python of these tests is suitable, so the next check fails; an executable that is not a Python is unsuitable."""
    (project / "bin/c++").unlink()
    assert "error: no C++ compiler" in setup(code=1, PYTHON=sys.executable)[0]
    write_script("bin/snake", "#!/usr/bin/env bash\nexit 1\n")
    assert "error: no suitable Python (3.10, 3.11 or 3.12 with venv and headers); snake does not run" in setup(code=1, PYTHON="snake")[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="what only root does")
def test_root_takes_a_python_that_others_may_execute(setup, write_script):
    """Else the environment would be root's alone. Where there is no other, this is said."""
    write_script("bin/python3.10", PYTHON)
    assert "creating tools/venv with python3.10" in setup(PRIVATE="python3.11")[0]
    assert "creating tools/venv with python3.11" in setup("--force", PRIVATE="python3.10")[0]
    assert "creating tools/venv with python3.11" in setup("--force", PRIVATE="python3.11", PYTHON="python3.11")[0], "as it was named"


def test_named_python_with_a_space_in_its_path(setup, write_script):
    assert "creating tools/venv with " in setup(PYTHON=str(write_script("my bin/python", PYTHON)))[0]


def test_called_in_its_own_folder_with_cdpath(project, setup):
    """Not in the folder of the same name that CDPATH has."""
    (project / "decoy/tools").mkdir(parents=True)
    for called, cwd in (("setup.sh", project / "tools"), ("tools/setup.sh", project)):
        done = bash(called, "--help", cwd=cwd, env={"CDPATH": f"{project}/decoy:/tmp"})
        assert done.returncode == 0 and done.stdout.startswith("Creates tools/venv") and done.stderr == ""


def test_environment_of_another_user(project, setup):
    """A user who can neither use nor create it gets an error."""
    (project / "tools/.setup.lock").mkdir()  # stands for a directory that is not writable
    assert f"error: tools/venv is incomplete, or this user may not execute its Python, and {project}/tools is not writable" in setup(code=1)[0]


def test_unexpected_error_names_its_place(project, setup):
    (project / "bin/mv").unlink()
    message = setup(code=127)[0].splitlines()[-1]
    assert re.fullmatch(r'tools/setup.sh: error: line \d+: exit code 127 of: mv "\$mark.tmp" "\$mark"', message)


def test_too_little_disk(setup, project, write_script):
    (project / "bin/df").unlink()
    write_script("bin/df", "#!/usr/bin/env bash\necho Filesystem 1024-blocks Used Available\necho disk 1 1 $((8 * 1048576)) 1% /\n")
    assert "error: not enough disk space: 8 GB free" in setup(code=1)[0]
    assert not (project / "tools/venv").exists()
    setup("--cpu")  # 6 GB are enough


def test_no_compiler(setup, project):
    (project / "bin/c++").unlink()
    assert "error: no C++ compiler" in setup(code=1)[0]


def test_unknown_machine(setup, project, write_script):
    (project / "bin/uname").unlink()
    write_script("bin/uname", "#!/usr/bin/env bash\necho riscv64\n")
    assert "this machine is riscv64" in setup(code=1)[0]


def test_no_network(setup, project):
    message, calls = setup(code=1, NETWORK="false")
    assert message.splitlines()[-1].startswith("tools/setup.sh: error: cannot download packages: check the network")
    assert len(calls) == 2
    assert not (project / "tools/venv/.complete").exists()


def test_installs_with_uv_then_does_nothing(setup, project):
    message, calls = setup()
    assert calls[-2] == f"uv {project}/tools/requirements.lock"
    assert calls[-1] == f"pip install --no-deps --no-build-isolation --no-index -e {project}"
    told = r"installing torch==[\d.]+ with CUDA libraries: 2.6 GB to download, 8 GB of disk in total \(5 GB with --cpu\)\n"
    assert re.search(told, message)
    assert message.splitlines()[-1] == "tools/setup.sh: tools/venv is ready"
    begin = time.perf_counter()
    assert setup() == ("", [])
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("variables", [{"UV": "false"}, {"UV_INSTALLS": "false"}])
def test_falls_back_to_pip(setup, project, variables):
    _, calls = setup(**variables)
    assert calls[-2] == f"pip install --no-deps -r {project}/tools/requirements.lock"
    assert (project / "tools/venv/.complete").exists()


def test_incomplete_environment_is_created_again(setup, project):
    (project / "tools/venv/bin").mkdir(parents=True)
    (project / "tools/venv/leftover").touch()
    assert "tools/venv is incomplete because an earlier set-up was interrupted: creating it again" in setup()[0]
    assert not (project / "tools/venv/leftover").exists()
    assert setup() == ("", [])


def test_environment_whose_python_is_missing_is_created_again(setup, project):
    setup()
    (project / "tools/venv/bin/python").unlink()
    assert "creating it again" in setup()[0]


def test_moved_environment_is_created_again(setup, project):
    setup()
    mark = project / "tools/venv/.complete"
    mark.write_text(mark.read_text().replace(str(project), "/elsewhere"))
    assert "in another directory: creating it again" in setup()[0]


def test_changed_lock_updates_it(setup, project):
    setup()
    (project / "tools/venv/kept").touch()
    with (project / "tools/requirements.lock").open("a") as lock:
        lock.write("zzz==1.0\n")
    message, calls = setup()
    assert "requirements.lock has changed: updating tools/venv" in message
    assert calls[-2].startswith("uv ")
    assert (project / "tools/venv/kept").exists()
    assert setup() == ("", [])


def test_cpu_variant(setup, project):
    setup("--cpu")
    wanted = (project / "tools/venv/requirements-cpu.txt").read_text().splitlines()
    lock = (project / "tools/requirements.lock").read_text().splitlines()
    assert {line.split("==")[0] for line in set(lock) - set(wanted)} == {"torch", "triton"} | {
        line.split("==")[0] for line in lock if line.startswith(("nvidia-", "cuda-"))
    }
    assert setup() == ("", [])  # without options the variant stays
    assert setup("--cpu=true") == ("", [])
    assert "created with other options" in setup("--cpu", "false")[0]


@pytest.mark.parametrize("options", [[], ["--cpu"]])
def test_torchaudios_own_libraries_are_removed(setup, project, options):
    """They work only with the torch that torchaudio was built for."""
    setup(*options)
    assert not list((project / "tools/venv").glob("lib/*/site-packages/torchaudio/lib/*.so"))


def test_both_variants_have_one_version_of_torch(setup, project):
    _, calls = setup("--cpu")
    wanted = next(line for line in (project / "tools/requirements.lock").read_text().splitlines() if line.startswith("torch=="))
    assert {word for call in calls for word in call.split() if word.startswith("torch==")} == {f"{wanted}+cpu"}


@pytest.mark.parametrize(("variables", "reason"), [({"TORCH": "false"}, "ERROR: no torch\n"), ({"CUDA": "true"}, "is a build with CUDA\n")])
def test_no_cpu_build(setup, project, variables, reason):
    """Looks in pip's indexes, then in its directories; before installing the CUDA build, prints its size and the command for a CPU build."""
    message, calls = setup("--cpu", **variables)
    asked = [call for call in calls if " torch==" in call]
    assert len(asked) == 2 and asked[0].endswith("+cpu") and "--no-index" in asked[1] and not asked[1].endswith("+cpu")
    told = "to install one, interrupt this and run: tools/setup.sh --torch_index https://download.pytorch.org/whl/cpu\n"
    assert re.search(rf"pip finds no CPU build of torch==[\d.]+ for this Python \(see tools/.setup.log\); {re.escape(told)}", message)
    assert reason in (project / "tools/.setup.log").read_text()
    assert "with CUDA libraries: 2.6 GB to download, 8 GB of disk in total" in message
    assert calls[-2] == f"uv {project}/tools/requirements.lock"
    assert ("pip uninstall --yes torch" in calls) == ("CUDA" in variables)
    assert setup("--cpu") == ("", [])


def test_no_cpu_build_and_no_disk_for_the_other(setup, project, write_script):
    (project / "bin/df").unlink()
    write_script("bin/df", "#!/usr/bin/env bash\necho Filesystem 1024-blocks Used Available\necho disk 1 1 $((8 * 1048576)) 1% /\n")
    message, calls = setup("--cpu", code=1, TORCH="false")
    assert message.endswith(f"error: not enough disk space: 8 GB free in {project}/tools, 12 GB needed\n")
    assert not any(call.startswith("uv ") for call in calls)


def test_torch_index(setup):
    _, calls = setup("--torch-index", "file:///wheels")
    assert any(re.search(r"--index-url file:///wheels torch==[\d.]+\+cpu$", call) for call in calls)
    _, calls = setup("--torch-index=file:///others")
    assert any("--index-url file:///others torch==" in call for call in calls)


def test_torch_index_without_a_cpu_build(setup, project):
    """With --torch_index no other build is installed."""
    message, calls = setup("--torch_index", "file:///wheels", code=1, TORCH="false")
    told = r"error: no CPU build of torch==[\d.]+ for this Python at file:///wheels \(ERROR: no torch\): check the URL, or omit --torch_index\n"
    assert re.search(told, message)
    assert not any(call.startswith("uv ") for call in calls)
    assert not (project / "tools/venv/.complete").exists()


def test_project_that_cannot_be_installed(setup):
    """In a read-only directory only the command asrlib is missing."""
    message, _ = setup(PROJECT="false")
    assert "cannot install the command asrlib (ERROR: read-only): use python -m asrlib.bin.NAME, or see " in message
    assert message.splitlines()[-1] == "tools/setup.sh: tools/venv is ready"


@pytest.mark.parametrize("arguments", [["--gpu"], ["--torch_index"], ["x"]])
def test_unknown_option(setup, arguments):
    setup(*arguments, code=2)


def test_help(setup, project):
    done = bash(project / "tools/setup.sh", "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--cpu", "--torch_index", "--force", "PYTHON"))


def test_lock_pins_every_requirement():
    lines = (ROOT / "tools/requirements.in").read_text().splitlines()
    names = [re.split("[=<]", line)[0] for line in lines if line and not line.startswith("#")]
    locked = {line.split("==")[0] for line in (ROOT / "tools/requirements.lock").read_text().splitlines()}
    assert set(names) <= locked


def test_two_set_ups_at_once(project, setup):
    """The second waits for the first, and then has nothing to do."""
    env = os.environ | {
        "PATH": str(project / "bin"),
        "CALLS": str(project / "log"),
        "FAULT": "",
        "NETWORK": "true",
        "UV": "true",
        "UV_INSTALLS": "true",
        "PROJECT": "true",
    }
    both = [subprocess.Popen(["bash", str(project / "tools/setup.sh")], env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    output = sorted(process.communicate(timeout=60)[1] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert sum("creating tools/venv with" in text for text in output) == 1
