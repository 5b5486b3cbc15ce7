"""pyproject.toml agrees with requirements, lock, changelog, citation, workflow and hooks."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]

if sys.version_info >= (3, 11):
    import tomllib

    PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
else:
    import tomli

    PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text())


def test_dependencies_are_those_of_the_lock():
    """They are in two files: pip reads one, uv makes the lock from the other."""
    lines = [line for line in (ROOT / "tools/requirements.in").read_text().splitlines() if line and not line.startswith("#")]
    assert sorted(lines) == sorted(PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"])
    locked = {Requirement(line).name: Requirement(line) for line in (ROOT / "tools/requirements.lock").read_text().splitlines()}
    for requirement in map(Requirement, lines):
        assert requirement.specifier.contains(next(iter(locked[requirement.name].specifier)).version), requirement


def test_version_is_in_changelog_and_citation():
    version = PROJECT["project"]["version"]
    assert re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (version, PROJECT["project"]["license"])
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_workflow_runs_what_ci_runs():
    """Every Python that the project names, with and without compiled kernels, and the command of .ci/run."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    job = workflow["jobs"]["tests"]
    pythons = [line.rsplit(" ", 1)[1] for line in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert job["strategy"]["matrix"] == {"python": pythons, "kernels": ["1", "0"]}
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == "bash .ci/run"


@pytest.mark.parametrize("hook", ["ruff", "shellcheck", "mypy"])
def test_hooks_run_what_the_tests_run(hook):
    """In the versions of the lock: local hooks that call tools/venv."""
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {repo["repo"] for repo in repos} == {"local"}
    entry = next(entry["entry"] for entry in repos[0]["hooks"] if entry["id"] == hook)
    assert entry.startswith("tools/venv/bin/") and hook in (ROOT / "tests/run.sh").read_text()
