"""The command `asrlib`: its list of commands, its errors, and the call of a command."""

import subprocess
import sys
from pathlib import Path

import pytest

from asrlib.__main__ import BIN, main

NAMES = sorted(path.stem for path in BIN.glob("*.py") if path.stem != "__init__")


@pytest.fixture(autouse=True)
def arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["asrlib"])


@pytest.mark.parametrize("argv", [["--help"], ["-h"], []])
def test_list_of_commands(capsys, argv):
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == NAMES
    assert all(len(line.split()) > 3 for line in lines if line.startswith("  "))  # each has a description
    score = next(line for line in lines if line.startswith("  score "))
    assert score.endswith("  Scores hypotheses against references: word or character error rate, pooled over the reference set.")


def test_list_imports_no_command_and_no_package():
    code = "import sys; from asrlib.__main__ import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=BIN.parents[1])
    modules = done.stderr.split()
    assert "asrlib.utils.cli" in modules and not {"numpy", "yaml", "mindspore", "torch"} & set(modules)
    assert not [name for name in modules if name.startswith("asrlib.bin")]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("scores", "did you mean score?"),
        ("prepare-dat", "did you mean prepare_data?"),
        ("xyzzy", "asrlib --help lists the commands"),
        ("__init__", "asrlib --help lists the commands"),
        ("../score", "did you mean score?"),
    ],
)
def test_unknown_command(capsys, name, hint):
    assert main([name, "--help"]) == 2
    assert capsys.readouterr().err == f"asrlib: error: unknown command {name!r}; {hint}\n"


def asrlib(*options: str, program: tuple[str, ...] = (sys.executable, "-m", "asrlib")) -> subprocess.CompletedProcess:
    return subprocess.run([*program, *options], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["make_ngram", "make-ngram"])
def test_help_of_a_command(name):
    done = asrlib(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: asrlib make_ngram [-h] --text")


def test_options_reach_the_command(tmp_path):
    (tmp_path / "ref").write_text("a one two\n")
    done = asrlib("score", "--ref", f"{tmp_path}/ref", "--hyp", f"{tmp_path}/ref", "--unit=word", "--out", f"{tmp_path}/out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/result.json").is_file()


def test_errors_name_the_command(tmp_path):
    done = asrlib("score", "--ref", f"{tmp_path}/ref", "--hyp", f"{tmp_path}/ref", "--unit", "word", "--out", f"{tmp_path}/out")
    assert done.returncode == 1 and done.stderr.startswith(f"asrlib score: error: {tmp_path}/ref: no such file")
    done = asrlib("score", "--reff", "x")
    assert done.returncode == 2 and "asrlib score: error: " in done.stderr


def test_installed_command(tmp_path):
    """The command that tools/setup.sh installs."""
    program = Path(sys.executable).parent / "asrlib"
    if not program.exists():
        pytest.skip("the project is not installed in this environment (pip install -e . --no-deps)")
    done = asrlib("scores", program=(str(program),))
    assert (done.returncode, done.stderr) == (2, "asrlib: error: unknown command 'scores'; did you mean score?\n")
