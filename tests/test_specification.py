"""docs/specification.md has every row once; its files, tests and options exist."""

import importlib
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest

from asrlib.config.families import load_experiment_config
from asrlib.utils.cli import assignments

ROOT = Path(__file__).resolve().parents[1]
IDS = [f"{system}{number}" for system, count in zip("abcde", (18, 12, 18, 15, 15), strict=True) for number in range(1, count + 1)]
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in (ROOT / "docs/specification.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| [a-e]\d+ \|", line)
]
PRESENT = [row for row in ROWS if row[-1] != "missing"]
rows = pytest.mark.parametrize("row", PRESENT, ids=[row[0] for row in PRESENT])


def test_every_row_once():
    assert [row[0] for row in ROWS] == IDS and all(len(row) == 6 and row[1] for row in ROWS)
    assert all(re.fullmatch(r"shown|missing|untested: needs .+", row[-1]) for row in ROWS)
    assert "(docs/specification.md)" in (ROOT / "README.md").read_text()


@rows
def test_its_files_and_its_test_exist(row):
    for name in re.findall(r"`([^`]+)`", row[2]):
        place = name if "/" in name or name.endswith(".md") else None
        assert place is None or (ROOT / place).exists(), name
    file, name = row[4].strip("`").split("::")
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)


@rows
def test_its_command_has_these_options(row):
    words = shlex.split(row[3].strip("`"))
    text = help_of(words[0], words[1] if words[0] in ("asrlib", "python") else "")
    options = [word for word in words if word.startswith("--") and word != "--help"]
    assert text and all(re.search(rf"(^|[\s,\[]){option}\b", text) for option in options), options
    for file in (word for word in words if word.startswith(("conf/", "tools/"))):
        assert (ROOT / file).is_file(), file


@rows
def test_keys_of_the_configuration_are_valid(row):
    words = shlex.split(row[3].strip("`"))
    for name, overrides in zip(words, words[1:], strict=False):
        if name == "--train_args":
            given = words[words.index("--train_config") + 1] if "--train_config" in words else f"conf/{Path(words[0]).parent.name}.yaml"
            load_experiment_config(ROOT / given, assignments(overrides))


@cache
def help_of(program: str, name: str) -> str:
    """The --help of a command of asrlib, a benchmark or a script."""
    if program == "asrlib":
        words = [str(ROOT / "tools/venv/bin/python"), "-m", "asrlib", name, "--help"]
        parser = importlib.import_module(f"asrlib.bin.{name}")
        if name == "prepare_data":
            return "".join(parser.get_parser(corpus).format_help() for corpus in ("librispeech", "aishell2", "kaldi"))
    else:
        words = [str(ROOT / "tools/venv/bin/python"), str(ROOT / name), "--help"] if program == "python" else [str(ROOT / program), "--help"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
