"""Recipes in unusual environments: spaces in paths, CDPATH, links, users without a name or without HOME."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.shell.conftest import ROOT, bash, copy_of_the_shell, kaldi_folders

CUSTOM, PROGRE = "egs/custom/deepspeech2/run.sh", "egs/custom/progre/run.sh"
RECIPES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("egs/*/*/run.sh"))


@pytest.fixture
def spaces(tmp_path, write_script):
    """A copy of the scripts in a directory with spaces in its name, next to data directories with spaces in their names."""
    kaldi_folders(tmp_path / "my data", "train set", "test set", "other set")
    return copy_of_the_shell(tmp_path / "my  project", write_script)


def commands(calls: Path) -> list[str]:
    return calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize("recipe", [CUSTOM, PROGRE])
def test_spaces_in_every_path(spaces, tmp_path, recipe):
    """All stages, called from a directory with spaces; a second call skips them; data directories keep the names that the user gave them."""
    calls, out = tmp_path / "calls", tmp_path / "my results"
    options = ["--train_dir", "train set", "--test_dirs", "test set other set", "--tag", "a tag", "--mini", "true"]
    for name in ("datadir", "dumpdir", "expdir", "download_dir"):
        options += [f"--{name}", str(out / f"my {name}")]
    done = bash(spaces / recipe, *options, cwd=tmp_path / "my data", env={"CALLS": str(calls)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successfully finished." in done.stdout and commands(calls)[-2:] == ["report", "page"]
    mode = "greedy" if recipe == CUSTOM else "joint"
    for name in ("test set", "other set"):
        assert (out / "my datadir" / name / "wav.scp").exists()
        assert list((out / "my expdir").glob(f"*a tag/decode_{mode}/{name}/score_wer/result.json"))
    assert sorted(path.name for path in out.iterdir()) == ["my datadir", "my download_dir", "my dumpdir", "my expdir"]
    calls.unlink()
    again = bash(spaces / recipe, *options, cwd=tmp_path / "my data", env={"CALLS": str(calls)})
    assert again.stdout.count("skipped, nothing has changed") == 7 and commands(calls) == []


def test_resume_with_spaces(spaces, tmp_path):
    """The printed command resumes the run."""
    options = ["--train_dir", "train set", "--test_dirs", "test set\nother set", "--expdir", "my exp"]
    python = spaces / "tools/venv/bin/python"
    text = python.read_text()
    python.write_text(text.replace("train | pretrain)", "train) exit 9 ;;\n    pretrain)"))
    done = bash(spaces / CUSTOM, *options, cwd=tmp_path / "my data", env={"CALLS": str(tmp_path / "calls")})
    assert done.returncode == 1 and "exit code 9" in done.stderr
    resume = re.search(r"To resume:(.*)", done.stderr, re.DOTALL)[1]
    python.write_text(text)
    done = subprocess.run(
        ["bash", "-c", resume],
        cwd=tmp_path / "my data",
        env=os.environ | {"CALLS": str(tmp_path / "calls")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Successfully finished." in done.stdout and (tmp_path / "my data/my exp/deepspeech2/decode_greedy/other set").is_dir()


@pytest.mark.parametrize("recipe", RECIPES)
def test_plan_in_a_checkout_with_spaces(spaces, tmp_path, recipe):
    data = ["--train_dir", "train set", "--test_dirs", "test set"] if "custom" in recipe else []
    done = bash(spaces / recipe, *data, "--mini", "true", "--dry_run", "true", cwd=tmp_path / "my data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nstage ") == 6 and done.stderr == ""


def test_several_devices_in_a_checkout_with_spaces(spaces):
    """No script of the environment, whose first line fails if its path contains a space."""
    plan = bash(spaces / "egs/aishell1/progre_large/run.sh", "--ngpu", "2", "--dry_run", "true").stdout
    launched = [line.split()[1:4] for line in plan.splitlines() if "--processes 2" in line]
    assert launched == [["python", "-m", "asrlib.bin.launch"]] * 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no such set", "/no: no such folder"),
        (
            "my data/train",
            "/my: no such folder (a Kaldi data directory is expected; given: --train_dir {project}/train --test_dirs 'my data/train')",
        ),
        ("set train/.", "there is already a set train: rename the folder"),
    ],
)
def test_invalid_directories(project, data, message):
    kaldi_folders(project, "train", "set")
    done = bash(project / CUSTOM, "--train_dir", "train", "--test_dirs", data, cwd=project)
    assert done.returncode == 2 and message.format(project=project) in done.stderr and done.stdout == ""


@pytest.mark.parametrize("recipe", [CUSTOM, "egs/librispeech/deepspeech2/run.sh", "egs/aishell1/mandarin_wav2vec2/run.sh"])
@pytest.mark.parametrize("called", ["relative", "link", "link to the folder", "bash"])
def test_cdpath_and_links(project, tmp_path, recipe, called):
    """The plan is the same with CDPATH exported and through a link."""
    data = (
        ["--train_dir", *kaldi_folders(project, "train"), "--test_dirs", *kaldi_folders(project, "test")]
        if "custom" in recipe
        else ["--mini", "true"]
    )
    folder, name = (project / recipe).parent, str(project / recipe)
    decoy = tmp_path / "decoy" / recipe
    decoy.parent.mkdir(parents=True)
    words = {
        "relative": [recipe],
        "link": [str(tmp_path / "elsewhere.sh")],
        "link to the folder": [str(tmp_path / "elsewhere/run.sh")],
        "bash": ["bash", recipe],
    }[called]
    (tmp_path / "elsewhere.sh").symlink_to(project / recipe)
    (tmp_path / "elsewhere").symlink_to(folder)

    def plan(call: list[str], **variables: str) -> str:
        done = subprocess.run(
            [*call, *data, "--dry_run", "true"], cwd=project, env=os.environ | variables, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.replace(call[-1], "RUN")

    assert plan(words, CDPATH=f".:{tmp_path}/decoy:/tmp") == plan([name])


def test_path_sh_with_cdpath_and_through_a_link(project, tmp_path):
    (tmp_path / "link.sh").symlink_to(project / "path.sh")
    for script in ("./path.sh", str(tmp_path / "link.sh")):
        done = subprocess.run(
            ["bash", "-c", f'. "{script}"; echo "$ROOT"'],
            cwd=project,
            env=os.environ | {"CDPATH": ".:/tmp"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"{project}\n" and done.stderr == ""


def test_path_sh_without_a_home(project, tmp_path):
    """path.sh exports what asrlib.utils.places prints, unevaluated; it does not run Python if nothing is missing."""
    python = project / "tools/venv/bin/python"
    python.write_text(f"#!/usr/bin/env bash\necho called >>{tmp_path}/asked\nprintf 'XDG_CACHE_HOME=/a b\\nHOME=$(touch {tmp_path}/pwned)\\n'\n")
    show = '. ./path.sh; echo "$XDG_CACHE_HOME|$HOME"'
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME", "PYTHONHOME")}
    for home in ({}, {"HOME": ""}, {"HOME": str(tmp_path / "missing")}):
        done = subprocess.run(
            ["bash", "-uc", show], cwd=project, env=environment | home | {"PYTHONHOME": "/other"}, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"/a b|$(touch {tmp_path}/pwned)\n" and done.stderr == ""
    assert not (tmp_path / "pwned").exists() and not (tmp_path / "missing").exists()
    (tmp_path / "asked").unlink()
    subprocess.run(["bash", "-c", ". ./path.sh"], cwd=project, env=environment | {"HOME": str(tmp_path)}, check=True)
    assert not (tmp_path / "asked").exists()


@pytest.fixture
def everybodys():
    """A temporary directory that every user can access, unlike pytest's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        yield folder


LIBRARIES = "import librosa, nltk, s3prl.util.download, numpy; librosa.effects.trim(numpy.ones(4000))"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can switch to another user")
@pytest.mark.parametrize(("home", "code"), [("/nonexistent", ""), ("/", ""), ("", ""), (None, LIBRARIES)])
def test_a_user_without_a_name_or_a_home(everybodys, home, code):
    """numba needs a directory for its cache, NLTK and s3prl need a home; the commands of the project work as well."""
    variables = {"PATH": os.environ["PATH"], "TMPDIR": everybodys} | ({} if home is None else {"HOME": home})
    code += "\nimport getpass, os, pathlib; pathlib.Path.home(); print(getpass.getuser(), os.access(os.environ['XDG_CACHE_HOME'], os.W_OK))"
    user = [
        "setpriv",
        "--reuid",
        "12345",
        "--regid",
        "12345",
        "--clear-groups",
        "--inh-caps",
        "+dac_read_search",
        "--ambient-caps",
        "+dac_read_search",
    ]
    done = subprocess.run(
        [*user, "bash", "-c", '. "$0/path.sh" && python -W ignore -c "$1" && python -m asrlib.bin.preflight | head -n 1', ROOT, code],
        cwd="/tmp", env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("12345 True\npython "), done.stderr
