"""egs/recipes.csv: dry runs of every recipe, and full-size runs with the published networks on a few dozen utterances.

Columns: recipe; mode (mini or full); command, options of run.sh; limits, options that shorten a real run to minutes; expected, patterns of outputs;
claim, the result in the recipe's README. {librispeech} etc. are directories of corpora, {beam} is a beam search configuration with two hypotheses.
"""

import csv
import os
import re
import shlex
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.recipes.corpora import make_empty, make_spoken

ROOT = Path(__file__).resolve().parents[2]
with (ROOT / "egs/recipes.csv").open(encoding="utf-8", newline="") as stream:
    ROWS = list(csv.DictReader(stream))
NAMES = [f"{row['recipe']}-{row['mode']}" for row in ROWS]
MEASURED = re.compile(r"INFO: (memory: |an update: |\d+ graphs compiled|peak memory )|(computed in|divided into) \d+ parts")
FULL = [row for row in ROWS if row["mode"] == "full"]
rows = pytest.mark.parametrize("row", ROWS, ids=NAMES)


@pytest.fixture
def beam(tmp_path):
    path = tmp_path / "beam.yaml"
    path.write_text("beam_size: 2\n")
    return path


@pytest.fixture
def call(tmp_path):
    """call(recipe, options): the output of a recipe in a copy of the scripts, so that all outputs are in the temporary directory."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "egs", project / "egs", ignore=shutil.ignore_patterns("mini", "downloads", "data", "dump", "exp"))
    shutil.copy(ROOT / "path.sh", project)
    for name in ("asrlib", "tools", "conf"):
        (project / name).symlink_to(ROOT / name)

    def call(recipe: str, *options: str) -> str:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run([project / "egs" / recipe / "run.sh", *options], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    call.project = project
    return call


def words(text: str, places: dict[str, Path], beam: Path) -> list[str]:
    return [word.format(**places, beam=beam) for word in shlex.split(text)]


def test_every_recipe_has_a_mini_and_a_full_row():
    recipes = sorted(str(path.parent.relative_to(ROOT / "egs")) for path in ROOT.glob("egs/*/*/run.sh"))
    assert sorted((row["recipe"], row["mode"]) for row in ROWS) == [(recipe, mode) for recipe in recipes for mode in ("full", "mini")]


@rows
def test_plan(row, call, tmp_path, beam):
    """Without and with the limits the plan has all stages and the expected outputs."""
    places = make_empty(tmp_path / "corpora")
    folder = "mini/exp" if row["mode"] == "mini" else "exp"
    for limits in dict.fromkeys(("", row["limits"])):
        plan = call(row["recipe"], *words(f"{row['command']} {limits}", places, beam), "--dry_run", "true").splitlines()
        assert [line.split(":")[0] for line in plan if line.startswith("stage ")] == [f"stage {number}" for number in range(7)]
        made = [line.removeprefix("  makes ") for line in plan if line.startswith("  makes ")]
        for pattern in row["expected"].split():
            assert any(fnmatch(path, f"{folder}/{pattern}") for path in made), pattern


@rows
def test_claim_stands_in_the_readme(row):
    assert row["mode"] == "mini" or not row["claim"]
    assert row["claim"] in (ROOT / "egs" / row["recipe"] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def spoken(tmp_path_factory):
    top = tmp_path_factory.mktemp("corpora")
    return make_spoken(top, top / "mini")


@pytest.mark.recipe
@pytest.mark.parametrize("row", FULL, ids=[row["recipe"] for row in FULL])
def test_full_size(row, call, spoken, beam):
    """Runs all stages and prints batches, compilation, memory and the durations of the stages (shown with -rP)."""
    output = call(row["recipe"], *words(f"{row['command']} {row['limits']}", spoken, beam))
    print("\n".join([line for line in output.splitlines() if MEASURED.search(line)] + output.splitlines()[-9:]))
    assert "Successfully finished." in output
    exp = call.project / "egs" / row["recipe"] / "exp"
    for pattern in row["expected"].split():
        assert any(path.is_dir() or path.stat().st_size for path in exp.glob(pattern)), pattern
    shutil.rmtree(call.project / "egs")  # gigabytes of weights


@pytest.mark.recipe
def test_spoken_corpora_are_prepared(call, spoken, beam):
    """Stages 0 and 1 of every full-size recipe accept the synthesised corpora."""
    for row in FULL:
        output = call(row["recipe"], *words(f"{row['command']} {row['limits']}", spoken, beam), "--stop_stage", "1")
        assert "Successfully finished." in output, row["recipe"]
