"""egs/common/stages.sh, on a recipe of three stages with small commands."""

import subprocess

import pytest

from tests.shell.conftest import ROOT, bash

# `work/` holds the outputs of the stages, `calls` the commands that ran.
SCRIPT = f"""#!/usr/bin/env bash
# A recipe.
. "{ROOT}/egs/common/begin.sh"
run_option stage int 1 "first"
run_option stop_stage int 3 "last"
run_option skip_stages ints "" "left out"
run_option force bool false "again"
run_option dry_run bool false "plan"
option text text hello "what stage 1 writes"
run_option nj int 1 "jobs"
run_option memory_gb int "" "memory"
option num_nodes int 1 "machines"
parse_options "$@"
. "{ROOT}/egs/common/stages.sh"

stage 1 "writing" work/a needs config.yaml:text "in put" makes work/a/out.txt
stage_1() {{ run ./write.sh work/a/out.txt "$text" --nj "$nj"; }}
stage 2 "copying" work/b needs work/a/out.txt makes "work/b/out 2.txt"
stage_2() {{
    run ./write.sh work/b/part "$(cat work/a/out.txt 2>/dev/null || true)"
    run ./copy.sh work/a/out.txt "work/b/out 2.txt"
}}
stage 3 "training" work/c needs "work/b/out 2.txt"
stage_3() {{ [ ! -e train.sh ] || run_on_all ./train.sh "$start_over"; }}
run_stages "$@"
"""

WRITE = '#!/usr/bin/env bash\necho "write $1" >>calls\nmkdir -p "$(dirname "$1")"\necho "$2" >"$1"\n'
COPY = '#!/usr/bin/env bash\necho "copy $1" >>calls\necho "copying $1"\ncp "$1" "$2"\n'


@pytest.fixture
def recipe(write_script, tmp_path):
    write_script("write.sh", WRITE)
    write_script("copy.sh", COPY)
    (tmp_path / "config.yaml").write_text("# comment\ntext:\n  a: 1\nother:\n  b: 2\n")
    (tmp_path / "in put").mkdir()
    (tmp_path / "in put" / "x").write_text("x")
    return write_script("run.sh", SCRIPT)


@pytest.fixture
def call(recipe, tmp_path):
    """call(arguments): the output of the recipe, which must succeed, and the commands that ran."""

    def call(*arguments: str) -> tuple[str, list[str]]:
        (tmp_path / "calls").write_text("")
        done = bash(recipe, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, (tmp_path / "calls").read_text().splitlines()

    return call


@pytest.fixture
def fail(recipe, tmp_path):
    """fail(code, arguments): standard output and standard error of the recipe, which must end with this exit code."""

    def call(code: int, *arguments: str) -> tuple[str, str]:
        done = bash(recipe, *arguments, cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    return call


ALL = ["write work/a/out.txt", "write work/b/part", "copy work/a/out.txt"]


def test_runs_all_and_ends_with_a_table(call, tmp_path):
    output, calls = call()
    assert calls == ALL
    assert (tmp_path / "work/b/out 2.txt").read_text() == "hello\n"
    *_, header, first, second, third, last = output.splitlines()
    assert header.split() == ["stage", "title", "result", "seconds", "outputs"]
    assert first.split()[:3] == ["1", "writing", "done"] and first.split()[4] == "work/a/out.txt"
    assert second.split()[:3] == ["2", "copying", "done"]
    assert third.split()[:3] == ["3", "training", "done"]
    assert last.startswith("Successfully finished. [elapsed=") and last.endswith("s]")


def test_output_goes_to_the_terminal_and_to_a_log(call, tmp_path):
    output, _ = call()
    assert "\ncopying work/a/out.txt\n" in output
    assert (tmp_path / "work/b/log/stage_2.log").read_text().splitlines()[-1] == "copying work/a/out.txt"
    assert "$ ./copy.sh work/a/out.txt 'work/b/out 2.txt'\n" in output


def test_second_call_skips_everything(call):
    call()
    output, calls = call()
    assert calls == []
    assert output.count("skipped, nothing has changed") == 3


def test_run_options_do_not_rerun_stages(call):
    call()
    assert call("--nj", "7")[1] == []


def test_changed_option_runs_its_stage_and_what_follows(call, tmp_path):
    call()
    output, calls = call("--text", "bye")
    assert "stage 1: writing: runs again, its options have changed" in output
    assert calls == ALL
    assert (tmp_path / "work/b/out 2.txt").read_text() == "bye\n"


def test_changed_input_runs_its_stage(call, tmp_path):
    call()
    (tmp_path / "in put" / "y").write_text("y")
    output, calls = call()
    assert "stage 1: writing: runs again, its inputs have changed" in output
    assert calls[0] == ALL[0]


def test_yaml_section_is_compared_by_content(call, tmp_path):
    call()
    (tmp_path / "config.yaml").write_text("text:\n  a: 1\nother:\n  b: 3\n")
    assert call()[1] == []
    (tmp_path / "config.yaml").write_text("text:\n  a: 2\nother:\n  b: 3\n")
    assert "its inputs have changed" in call()[0]


def test_missing_output_runs_its_stage(call, tmp_path):
    call()
    (tmp_path / "work/b/out 2.txt").unlink()
    output, calls = call()
    assert "stage 2: copying: runs again, work/b/out 2.txt is missing" in output
    assert calls == ALL[1:]


def test_force_runs_everything(call):
    call()
    assert call("--force", "true")[1] == ALL


def test_killed_after_force_goes_on_with_what_it_has_begun(call, fail, recipe, tmp_path, write_script):
    """Resumed without --force, the later stages start over, too, each once: training gets the same name until it has finished."""
    write_script("train.sh", '#!/usr/bin/env bash\necho "train $1" >>calls; [ ! -e broken ] || exit 1\n')
    call()
    (tmp_path / "broken").touch()
    done = bash(recipe, "--force", "true", cwd=tmp_path)
    first = (tmp_path / "calls").read_text().splitlines()[-1]
    assert done.returncode == 1 and "--force" not in done.stderr.split("To resume:")[1] and first.startswith("train 1")
    write_script("copy.sh", "#!/usr/bin/env bash\nexit 1\n")
    (tmp_path / "broken").unlink()
    output, calls = call("--stage", "3")
    assert calls == [first] and "stage 3: training: runs (--force true)" in output, "the same name: what was begun is resumed"
    assert call("--stage", "3")[1] == []
    bash(recipe, "--force", "true", "--stage", "2", cwd=tmp_path)  # stage 2 fails: training was not reached
    output, calls = call("--stage", "3")
    assert len(calls) == 1 and calls[0] not in (first, "train false"), "it starts over"


def test_a_recipe_that_calls_another_starts_it_over_once(call, write_script, monkeypatch):
    write_script("train.sh", '#!/usr/bin/env bash\necho "train $1" >>calls\n')
    monkeypatch.setenv("ASRLIB_START_OVER", "17")
    assert call("--force", "true")[1] == [*ALL, "train 17"]
    assert call("--force", "true")[1] == []
    monkeypatch.setenv("ASRLIB_START_OVER", "18")
    assert call("--force", "true")[1] == [*ALL, "train 18"]


def test_replaced_audio_runs_the_stage_again(call, tmp_path):
    """Inputs are also the files that a directory's wav.scp names, wherever they are."""
    (tmp_path / "my audio").mkdir()
    for name in "ab":
        (tmp_path / "my audio" / f"{name}.wav").write_bytes(bytes(100))
    (tmp_path / "in put/wav.scp").write_text("u1 my audio/a.wav\nu2\tmy audio/b.wav\nu3 cat my audio/a.wav |\nu4 my audio/missing.wav\n")
    call()
    assert call()[1] == []
    (tmp_path / "my audio/b.wav").write_bytes(bytes([1] * 100))
    output, calls = call()
    assert "stage 1: writing: runs again, its inputs have changed" in output and calls[0] == ALL[0]


def test_range_of_stages(call):
    assert call("--stop_stage", "1")[1] == ALL[:1]
    assert call("--stage", "2", "--stop_stage", "2")[1] == ALL[1:]


def test_skip_stages(call):
    call()
    output, calls = call("--skip_stages", "1 3", "--force", "true")
    assert calls == ALL[1:]
    assert output.count("skipped (--skip_stages)") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stage", "3", "--stop_stage", "2"], "--stage 3 is after --stop_stage 2"),
        (["--stage", "0"], "--stage 0: no such stage; stages: 1 writing, 2 copying, 3 training"),
        (["--skip_stages", "2 9"], "--skip_stages: no stage '9'"),
        (["--skip_stages", "*"], "--skip_stages: '*' is not a number"),
    ],
)
def test_invalid_range_exits_with_2(fail, arguments, message):
    assert message in fail(2, *arguments)[1]


def test_missing_input_names_the_stage_that_makes_it(fail, tmp_path):
    _, error = fail(1, "--stage", "2")
    assert error == f"{tmp_path}/run.sh: stage 2 (copying) needs work/a/out.txt, which stage 1 (writing) makes: run --stage 1 first\n"
    assert not (tmp_path / "work").exists()


def test_missing_input_of_the_user(fail, tmp_path):
    (tmp_path / "config.yaml").unlink()
    assert fail(1)[1].endswith("stage 1 (writing) needs config.yaml, which is missing\n")


def test_dry_run_shows_the_plan_and_touches_nothing(call, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    output, calls = call("--dry_run", "true")
    assert calls == []
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "calls"])
    assert "$ ./write.sh work/a/out.txt hello --nj 1\n" in output
    assert "  needs work/a/out.txt\n" in output and "  makes work/b/out 2.txt\n" in output
    call()
    assert call("--dry_run", "true")[0].count("would be skipped") == 3


def test_failure_prints_the_log_and_the_command_to_resume(fail, call, write_script, tmp_path):
    copy = write_script("copy.sh", "#!/usr/bin/env bash\nfor i in {1..30}; do echo line $i; done\nexit 7\n")
    output, error = fail(1, "--stage", "1", "--text", "it's a 'test'")
    assert "line 1\n" in output
    assert "| line 30\n" in error and "| line 20\n" not in error
    assert "work/b/log/stage_2.log" in error and "exit code 7" in error
    resume = error.splitlines()[-1]
    assert resume.startswith(f"To resume: {tmp_path}/run.sh --text ") and resume.endswith(" --stage 2")
    assert not (tmp_path / "work/b/.stages/2.done").exists()
    copy.write_text(COPY)
    done = subprocess.run(["bash", "-c", resume.removeprefix("To resume: ")], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Successfully finished" in done.stdout
    assert (tmp_path / "work/b/out 2.txt").read_text() == "it's a 'test'\n"


def test_error_of_a_stage_outside_of_run(fail, recipe, tmp_path):
    """Errors of the shell in a stage are reported once, with their line and the command to resume."""
    recipe.write_text(SCRIPT.replace("stage_1() {", "stage_1() {\n    $dry_run || grep nothing /dev/null\n"))
    line = recipe.read_text().splitlines().index("    $dry_run || grep nothing /dev/null") + 1
    output, error = fail(1)
    assert f"error: {tmp_path}/run.sh, line {line}: exit code 1 of: grep nothing /dev/null\n" in output
    assert "exit code 1\nTo resume: " in error and error.count("error:") == 1
    assert not (tmp_path / "calls").exists()


KILLED = "#!/usr/bin/env bash\nkill -KILL $$\n"


@pytest.fixture
def resume_command(recipe, tmp_path, write_script):
    """resume_command(arguments): what the recipe says after a stage was killed with SIGKILL, on a machine with 12.9 GB of available memory."""
    write_script("sitecustomize.py", "import asrlib.utils.memory\nasrlib.utils.memory.available_memory = lambda: 12.9e9\n")

    def call(*arguments: str) -> list[str]:
        done = bash(recipe, *arguments, cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.splitlines()[-2:]

    return call


@pytest.mark.parametrize(
    ("given", "resumed"),
    [
        ([], "--memory_gb 8"),
        (["--nj", "2"], "--nj 2 --stage 3 --memory_gb 8"),
        (["--memory_gb", "30", "--text", "bye"], "--text bye --stage 3 --memory_gb 20"),
        (["--text", "bye", "--memory-gb=4", "--nj", "2"], "--text bye --nj 2 --stage 3 --memory_gb 2"),
        (["--memory_gb=1"], "--memory_gb 1"),
    ],
)
def test_killed_training_resumes_with_less_memory(resume_command, write_script, tmp_path, given, resumed):
    """Two thirds of --memory_gb, else of the available memory."""
    write_script("train.sh", KILLED)
    cause, command = resume_command(*given)
    assert cause.endswith("stage 3 (training) failed: killed by signal 9 (SIGKILL), probably out of memory")
    assert command.startswith(f"To resume: {tmp_path}/run.sh ") and command.endswith(resumed) and command.count("memory") == 1


def test_training_that_fails_otherwise_resumes_with_the_same_memory(resume_command, write_script, tmp_path):
    write_script("train.sh", "#!/usr/bin/env bash\nexit 1\n")
    assert resume_command()[1] == f"To resume: {tmp_path}/run.sh --stage 3"
    assert resume_command("--memory_gb", "30")[1] == f"To resume: {tmp_path}/run.sh --memory_gb 30 --stage 3"


def test_other_killed_stage_resumes_with_the_same_memory(resume_command, write_script, tmp_path):
    write_script("copy.sh", KILLED)
    cause, command = resume_command("--memory_gb", "30")
    assert cause.endswith("stage 2 (copying) failed: killed by signal 9 (SIGKILL), probably out of memory")
    assert command == f"To resume: {tmp_path}/run.sh --memory_gb 30 --stage 2"
    assert resume_command()[1] == f"To resume: {tmp_path}/run.sh --stage 2"


def test_resume_of_a_recipe_called_by_its_bare_name(recipe, tmp_path, write_script):
    write_script("copy.sh", "#!/usr/bin/env bash\nexit 7\n")
    assert "To resume: ./run.sh --stage 2\n" in bash("run.sh", cwd=tmp_path).stderr


def test_stage_stops_at_its_first_failing_command(fail, write_script, tmp_path):
    write_script("write.sh", WRITE + '[ "$1" != work/b/part ]\n')
    fail(1)
    assert (tmp_path / "calls").read_text().splitlines() == ALL[:2]


@pytest.mark.parametrize("body", ["true", ': >"$2"'])
def test_success_without_the_output_is_a_failure(fail, write_script, body, tmp_path):
    write_script("copy.sh", f"#!/usr/bin/env bash\n{body}\n")
    assert "its output work/b/out 2.txt is missing or empty" in fail(1)[1]
    assert not (tmp_path / "work/b/.stages/2.done").exists()


def test_directory_that_is_not_writable(fail, tmp_path):
    (tmp_path / "work").write_text("a file, not a folder")
    assert "stage 1: cannot write to work/a" in fail(1)[1]


def test_seconds_of_a_stage(call, fail, write_script, tmp_path):
    """A line for each run of a stage until it succeeds; a stage that begins anew forgets them."""
    seconds = tmp_path / "work/b/.stages/2.seconds"
    write_script("write.sh", WRITE + '[ "$1" != work/b/part ]\n')
    fail(1)
    assert len(seconds.read_text().split()) == 1
    write_script("write.sh", WRITE)
    call()
    assert len(seconds.read_text().split()) == 2
    call("--force", "true")
    assert len(seconds.read_text().split()) == 1
