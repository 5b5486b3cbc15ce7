"""egs/common/parse_options.sh: valid and invalid options."""

from pathlib import Path

import pytest

from asrlib.utils import cli
from tests.shell.conftest import ROOT, bash

SCRIPT = f"""#!/usr/bin/env bash
# What the recipe is.

. "{ROOT}/egs/common/begin.sh"
option_group "Options of a test"
option first_name text Ada "name of a person"
run_option stage 'stage:download|data/preparation|fine-tuning' 0 "first stage"
option skip 'stages:download|data/preparation|fine-tuning' "" "left out"
option force bool false "run again"
option backend 'choice:local|slurm' local "where"
option data_dir path data "folder of data"
option test_dirs paths "" "folders of tests"
option model path "" "file of a model"
option seed int "" "number: of the generator"
option share number 0.05 "part"
option sets words "a b" "sets"
option modes 'words:greedy|beam' greedy "ways"
option layers ints "" "layers"
hidden=1
parse_options "$@"
for name in first_name stage force backend data_dir model seed share hidden; do echo "$name=${{!name}}"; done
for name in test_dirs sets modes layers skip; do declare -n list=$name && echo "$name=$(printf '<%s>' "${{list[@]+${{list[@]}}}}")"; done
echo "given=${{!option_given[*]}}"
"""


@pytest.fixture
def script(write_script):
    return write_script("run.sh", SCRIPT)


@pytest.fixture
def values(script, tmp_path):
    """The variables after a call that must succeed."""

    def call(*arguments: str, **kwargs) -> dict[str, str]:
        done = bash(script, *arguments, cwd=tmp_path, **kwargs)
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    return call


def test_defaults_stay_without_options(values):
    assert values() == {
        "first_name": "Ada", "stage": "0", "force": "false", "backend": "local", "data_dir": "data", "test_dirs": "<>", "model": "", "seed": "",
        "share": "0.05", "sets": "<a><b>", "modes": "<greedy>", "layers": "<>", "skip": "<>", "hidden": "1", "given": "",
    }  # fmt: skip


@pytest.mark.parametrize("arguments", [("--first_name", "Eve"), ("--first-name", "Eve"), ("--first_name=Eve",), ("--first-name=Eve",)])
def test_dash_underscore_and_equals(values, arguments):
    result = values(*arguments)
    assert result["first_name"] == "Eve"
    assert result["given"] == "first_name"


def test_last_value_wins(values):
    assert values("--stage", "1", "--stage=3")["stage"] == "3"


@pytest.mark.parametrize("value", ["", "a b", "a=b", "--x=y", "$(touch pwned)", "`touch pwned`", '"; touch pwned; "', "*", "-1", "$HOME"])
def test_values_are_never_evaluated(values, tmp_path, value):
    assert values(f"--first_name={value}")["first_name"] == value
    assert not (tmp_path / "pwned").exists()


def test_separate_value_may_begin_with_one_dash(values):
    assert values("--first_name", "-1")["first_name"] == "-1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frist_name", "x"], "unknown option '--frist_name'; did you mean --first_name?"),
        (["--forec=true"], "unknown option '--forec'; did you mean --force?"),
        (["--dat", "x"], "unknown option '--dat' (--help lists all)"),
        (["--hidden", "2"], "unknown option '--hidden'"),
        (["--PATH", "/"], "unknown option '--PATH'"),
        (["--force", "yes"], "--force: 'yes' is not true or false"),
        (["--force="], "--force: '' is not true or false"),
        (["--stage", "two"], "--stage: 'two' is not a stage: give a number, or one of download, data, fine-tuning"),
        (["--stage", "-2"], "--stage: '-2' is not a stage"),
        (["--stage", "1 2"], "--stage: give one stage"),
        (["--skip", "1 two"], "--skip: 'two' is not a stage"),
        (["--seed", "x"], "--seed: 'x' is not a number"),
        (["--seed", "9" * 16], "is not a number"),
        (["--share", "a"], "--share: 'a' is not a number"),
        (["--layers", "1 x[$(touch pwned)]"], "--layers: 'x[$(touch' is not a number"),
        (["--modes", "greedy magic"], "--modes: 'magic' is not one of greedy beam"),
        (["--modes", " "], "--modes: give at least one of greedy beam"),
        (["--modes", "greedy|beam"], "--modes: 'greedy|beam' is not one of greedy beam"),
        (["--backend", "local|slurm"], "--backend: 'local|slurm' is not one of local, slurm"),
        (["--model", "a\nb"], "--model: a path must not contain a line break"),
        (["--backend", "loc"], "--backend: 'loc' is not one of local, slurm"),
        (["--stage"], "--stage needs a value"),
        (["--stage", "--force", "true"], "--stage needs a value"),
        (["train"], "unexpected argument 'train'"),
        (["--stage", "1", "-x"], "unexpected argument '-x'"),
        (["--"], "unexpected argument '--'"),
        ([""], "unexpected argument ''"),
    ],
)
def test_invalid_options_exit_with_2(script, tmp_path, arguments, message):
    done = bash(script, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_help_lists_every_option_with_default_and_comment(script):
    done = bash(script, "--first_name", "Eve", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("What the recipe is.\n") and "\nOptions of a test\n" in done.stdout
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  --")]
    assert dict(lines) == {
        "--first_name": "name of a person [default: Ada]",
        "--stage": "first stage [default: 0]",
        "--skip": "left out [default: none]",
        "--force": "run again [default: false]",
        "--backend": "local|slurm: where [default: local]",
        "--data_dir": "folder of data [default: data]",
        "--test_dirs": "folders of tests [default: none]",
        "--model": "file of a model [default: none]",
        "--seed": "number: of the generator [default: none]",
        "--share": "part [default: 0.05]",
        "--sets": "sets [default: a b]",
        "--modes": "ways [default: greedy]",
        "--layers": "layers [default: none]",
    }
    assert "Line breaks separate paths as well." in done.stdout


def test_numbers_are_decimal(values):
    assert values("--stage", "08")["stage"] == "8"
    assert values("--share=1e-3")["share"] == "1e-3"
    assert values("--layers", "6  9")["layers"] == "<6><9>"


@pytest.mark.parametrize(
    ("given", "number"), [("download", 0), ("data", 1), ("preparation", 1), ("fine-tuning", 2), ("fine_tuning", 2), ("-1", 0), ("100", 100)]
)
def test_stages_by_name(values, given, number):
    """-1 is where other toolkits begin, 100 where they end."""
    assert values("--stage", given)["stage"] == str(number)
    assert values("--skip", f"{given} 02")["skip"] == f"<{number}><02>"


def test_words_are_not_patterns_of_files(values):
    assert values("--sets", "* c")["sets"] == "<*><c>"
    assert values("--modes", "greedy beam")["modes"] == "<greedy><beam>"


def test_paths_count_from_the_caller_not_from_the_recipe(script, tmp_path):
    """Relative paths start at the caller's directory; if that is the recipe's directory they stay unchanged."""
    here = tmp_path / "some where"
    here.mkdir()

    def values(*arguments: str, cwd=here) -> dict[str, str]:
        return dict(line.split("=", 1) for line in bash(script, *arguments, cwd=cwd).stdout.splitlines())

    assert values("--data_dir", "x y")["data_dir"] == f"{here}/x y"
    assert values("--test_dirs", "a /b ../c")["test_dirs"] == f"<{here}/a></b><{here}/../c>"
    assert values("--model", "")["model"] == ""
    assert values()["data_dir"] == "data"
    assert values("--data_dir", "x", cwd=tmp_path)["data_dir"] == "x"


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ("test set", ["test set"]),
        ("test set other", ["test set", "other"]),
        ("other test set", ["other", "test set"]),
        ("test  set", ["test", "set"]),
        ("test set other set", ["test set", "other set"]),
        (" other  none ", ["other", "none"]),
        ("test set\nno such", ["test set", "no such"]),
        ("\nno such", ["no such"]),
    ],
)
def test_directories_with_spaces_in_their_names(values, tmp_path, monkeypatch, given, paths):
    """The shell and the commands of asrlib.bin parse such lists in the same way."""
    for name in ("test set", "other", "other set"):
        (tmp_path / name).mkdir()
    assert values("--test_dirs", given)["test_dirs"] == "".join(f"<{path}>" for path in paths)
    monkeypatch.chdir(tmp_path)
    assert cli.paths(given) == [Path(path) for path in paths]


@pytest.mark.parametrize("paths", [["a", "b"], ["a b"], ["a", "b c"], []])
def test_a_list_of_paths_as_one_value(write_script, paths):
    script = write_script("run.sh", f'. "{ROOT}/egs/common/begin.sh"\npath_list "$@"\n')
    assert cli.paths(bash(script, *paths).stdout) == [Path(path) for path in paths]


def test_options_of_all_scripts_in_the_order_of_their_calls(write_script):
    write_script("common.sh", 'option nj int 4 "jobs"\nparse_options "$@"\n')
    script = write_script("run.sh", f'#\n. "{ROOT}/egs/common/begin.sh"\noption sets words "a b" "sets"\n. common.sh "$@"\necho "$nj ${{sets[*]}}"\n')
    assert bash(script, "--nj", "2", "--sets", "c").stdout == "2 c\n"
    assert [line.split()[0] for line in bash(script, "--help").stdout.splitlines() if line.startswith("  --")] == ["--sets", "--nj"]


@pytest.mark.parametrize("line", ['option nj int 4 "jobs"', "option nj2 int 4", 'option "x[1]" int 4 "jobs"'])
def test_invalid_declaration(write_script, line):
    done = bash(write_script("run.sh", f'. "{ROOT}/egs/common/begin.sh"\noption nj int 4 "jobs"\n{line}\necho on\n'))
    assert done.returncode == 2 and done.stdout == "" and "expected NAME TYPE DEFAULT HELP" in done.stderr
