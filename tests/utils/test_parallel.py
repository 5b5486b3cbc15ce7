"""Parallel jobs: order, logs, concurrency and failures."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlib.utils.backend import Backend
from asrlib.utils.errors import UserError
from asrlib.utils.parallel import cores, run_jobs, split_evenly
from asrlib.utils.slurm import _task

SLURM = Backend("slurm")


@given(st.lists(st.integers(), max_size=60), st.integers(1, 70))
def test_split_evenly(items, n):
    parts = split_evenly(items, n)
    assert [x for part in parts for x in part] == items
    assert len(parts) == min(n, len(items))
    assert not parts or (min(map(len, parts)) >= 1 and max(map(len, parts)) - min(map(len, parts)) <= 1)


def test_zero_parts_means_one_per_core():
    assert len(split_evenly(list(range(1000)), 0)) == cores()


# The jobs of the tests; child processes import them by name.
def square(x: int) -> int:
    print(f"squaring {x}")
    return x * x


def pid_and_threads() -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def later_first(index: int, count: int) -> int:
    time.sleep(0.1 * (count - index))
    return index


def span(folder: str, index: int) -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(0.3)
    return begin, time.monotonic()


def end_with(index: int, how: str) -> int:
    print(f"job {index} begins")
    if index != 2:
        return index
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        os._exit(3)
    if how == "user":
        raise UserError("a.wav: no samples")
    if how == "unsendable":
        return lambda: index
    raise ValueError("a fault of ours")


def wait_for_ever(folder: str, index: int) -> None:
    Path(folder, f"{index}.pid").write_text(str(os.getpid()))
    if index == 1:
        while len(list(Path(folder).glob("*.pid"))) < 2:
            time.sleep(0.01)
        raise ValueError("stop")
    time.sleep(60)


def test_results_in_order_and_logs(tmp_path):
    assert run_jobs(square, [(3,), (1,), (2,)], tmp_path / "log", nj=2) == [9, 1, 4]
    assert [(tmp_path / "log" / f"{i}.log").read_text() for i in (1, 2, 3)] == ["squaring 3\n", "squaring 1\n", "squaring 2\n"]


def test_results_in_order_when_the_last_ends_first(tmp_path):
    assert run_jobs(later_first, [(i, 3) for i in range(3)], tmp_path, nj=3) == [0, 1, 2]


def test_no_arguments_no_jobs(tmp_path):
    assert run_jobs(square, [], tmp_path) == []


def test_one_job_runs_here(tmp_path):
    assert run_jobs(pid_and_threads, [()], tmp_path, nj=4)[0][0] == os.getpid()


def test_jobs_have_one_thread_each_unless_told(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    answers = run_jobs(pid_and_threads, [(), ()], tmp_path, nj=2)
    assert [threads for _, threads in answers] == ["1", "1"]
    assert len({os.getpid(), *(pid for pid, _ in answers)}) == 3
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [threads for _, threads in run_jobs(pid_and_threads, [(), ()], tmp_path, nj=2)] == ["2", "2"]


def test_at_most_nj_at_a_time(tmp_path):
    spans = run_jobs(span, [(str(tmp_path), i) for i in range(5)], tmp_path, nj=2)
    most = max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)
    assert most <= 2


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("kill", r"tests: job 3 of 4: killed by SIGKILL \(out of memory\?\); see .*3\.log: job 2 begins"),
        ("segv", r"job 3 of 4: killed by SIGSEGV; see .*3\.log"),
        ("exit", r"job 3 of 4: exit code 3; see .*3\.log: job 2 begins"),
        ("raise", r"job 3 of 4: ValueError: a fault of ours; see .*3\.log: .*ValueError: a fault of ours"),
        ("unsendable", r"job 3 of 4: exit code 1; see .*3\.log: .*pickle"),
        ("user", r"^a\.wav: no samples$"),
    ],
)
def test_failing_job(tmp_path, how, message):
    with pytest.raises(UserError, match=message):
        run_jobs(end_with, [(i, how) for i in range(4)], tmp_path, nj=2, desc="tests")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_others_are_stopped_when_one_fails(tmp_path):
    with pytest.raises(UserError, match="ValueError: stop"):
        run_jobs(wait_for_ever, [(str(tmp_path), i) for i in range(2)], tmp_path / "log", nj=2)
    assert not alive(int((tmp_path / "0.pid").read_text()))


def test_jobs_end_with_a_killed_parent(tmp_path):
    code = f"from asrlib.utils.parallel import run_jobs\nfrom {__name__} import wait_for_ever\n"
    code += f"run_jobs(wait_for_ever, [({str(tmp_path)!r}, i) for i in (2, 3)], {str(tmp_path)!r}, nj=2)"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    deadline = time.time() + 30
    while len(pids := [path.read_text() for path in tmp_path.glob("*.pid")]) < 2 or "" in pids:
        assert time.time() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while any(alive(int(pid)) for pid in pids):
        assert time.time() < deadline
        time.sleep(0.02)


def test_unknown_backend(tmp_path):
    with pytest.raises(UserError, match="choose local or slurm"):
        run_jobs(square, [(1,), (2,)], tmp_path, backend=Backend("pbs"))


def test_slurm_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="--cmd_backend local on a machine without Slurm"):
        run_jobs(square, [(1,), (2,)], tmp_path, backend=SLURM)


# sbatch that runs each task of the array at once, srun that runs its command, squeue that prints its state. There is no accounting (sacct).
SBATCH = """#!/usr/bin/env bash
script=${!#}
echo "Submitted batch job 77"
count=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
cp "$script" "$(dirname "$0")/submitted.sh"
for ((i = 0; i <= count; i++)); do
    [ ! -e "$(dirname "$0")/never" ] || continue
    SLURM_JOB_ID=77_$i SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$i SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=1 SLURM_NNODES=1 SLURM_NODEID=0 \\
        SLURM_JOB_NODELIST=here bash "$script" >/dev/null 2>&1 </dev/null &
done
"""
SRUN = """#!/usr/bin/env bash
while [[ ${1:-} == -* ]]; do case $1 in --output) log=$2 && shift ;; esac; shift; done
log=${log//%A/77} log=${log//%a/$SLURM_ARRAY_TASK_ID} log=${log//%t/0}
"$@" >"$log" 2>&1
touch "$(dirname "$0")/$SLURM_JOB_ID.ended"
"""
SQUEUE = """#!/usr/bin/env bash
cat "$(dirname "$0")/states" 2>/dev/null && exit
for i in 0 1 2; do [ -e "$(dirname "$0")/77_$i.ended" ] && echo "77_$i|COMPLETED|None|here" || echo "77_$i|RUNNING|None|here"; done
"""
SCANCEL = """#!/usr/bin/env bash
echo "$@" >>"$(dirname "$0")/cancelled"
: >"$(dirname "$0")/states"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    folder = tmp_path / "slurm_bin"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "squeue": SQUEUE, "scancel": SCANCEL}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return folder


def test_slurm_array(tmp_path, slurm):
    assert run_jobs(
        square, [(3,), (1,), (2,)], tmp_path / "log", nj=2, backend=Backend("slurm", ("time=10", "mem=2G", "gpu.gres=gpu:1")), desc="feats of x"
    ) == [9, 1, 4]
    submitted = (slurm / "submitted.sh").read_text()
    assert "#SBATCH --array=0-2%2" in submitted and "#SBATCH --job-name=feats_of_x-" in submitted
    assert {"#SBATCH --time=10", "#SBATCH --mem=2G", "#SBATCH --no-requeue"} <= set(submitted.splitlines())
    assert "gres" not in submitted and "USR2" not in submitted
    assert "squaring 1\n" in (tmp_path / "log" / "2.log").read_text()


def test_slurm_that_refuses_the_job(tmp_path, slurm):
    (slurm / "sbatch").write_text("#!/usr/bin/env bash\necho 'sbatch: error: invalid partition' >&2\nexit 1\n")
    with pytest.raises(UserError, match="--cmd_backend slurm: .*invalid partition"):
        run_jobs(square, [(1,), (2,)], tmp_path, backend=SLURM)


def test_slurm_job_that_fails(tmp_path, slurm):
    with pytest.raises(UserError, match=r"job 3 of 3 \(Slurm's 77_2\): ValueError: a fault of ours; see .*3\.log: .*a fault of ours"):
        run_jobs(end_with, [(i, "raise") for i in range(3)], tmp_path / "log", backend=SLURM)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("PENDING|PartitionTimeLimit|", r"job 1 of 2 \(Slurm's 77_0\): waits for ever \(PartitionTimeLimit\): give a shorter time="),
        ("TIMEOUT|TimeLimit|node7", r"job 1 of 2 .*: ran out of its time limit: give a longer time= in --slurm_args \(on node7\)"),
        ("CANCELLED by 0|None|", r"job 1 of 2 .*: was cancelled by scancel"),
    ],
)
def test_slurm_job_that_never_runs(tmp_path, slurm, state, message):
    (slurm / "never").touch()
    (slurm / "states").write_text(f"77_0|{state}\n77_1|PENDING|Resources|\n")
    with pytest.raises(UserError, match=message):
        run_jobs(square, [(1,), (2,)], tmp_path, backend=SLURM)
    assert (slurm / "cancelled").read_text().startswith("--name=jobs-"), "the other job, too"
    assert not (tmp_path / "slurm/run").exists()


def test_what_slurm_jobs_wait_for(tmp_path, slurm, logged):
    (slurm / "sinfo").write_text("#!/usr/bin/env bash\necho 'node[1-2]|(drained:|disk is full)'\n")
    (slurm / "sinfo").chmod(0o755)
    (slurm / "states").write_text("77_0|PENDING|Nodes required for job are DOWN|\n77_1|PENDING|Nodes required for job are DOWN|\n")
    assert run_jobs(square, [(1,), (2,)], tmp_path, backend=SLURM, desc="feats") == [1, 4]
    assert "feats: jobs wait in the queue, 2 for: Nodes required for job are DOWN; nodes: node[1-2] (drained: disk is full)" in logged


def test_jobs_that_a_killed_run_has_left_are_cancelled(tmp_path, slurm):
    """Also by a run of local jobs; one that starts nevertheless does nothing."""
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/run").write_text("feats-12345678\n66\n")
    assert run_jobs(square, [(1,), (2,)], tmp_path, nj=1) == [1, 4]
    assert (slurm / "cancelled").read_text() == "--name=feats-12345678\n" and not (tmp_path / "slurm/run").exists()
    (tmp_path / "slurm/run").write_text("feats-87654321\n67\n")
    refusal = _task(tmp_path / "slurm/run", "feats-12345678", square, (3,))
    assert isinstance(refusal, UserError) and "nobody waits for the jobs feats-12345678" in str(refusal)
    assert _task(tmp_path / "slurm/run", "feats-87654321", square, (3,)) == 9


def test_jobs_left_on_a_machine_without_slurm(tmp_path, monkeypatch):
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/run").write_text("feats-12345678\n66\n")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="jobs feats-12345678 of an earlier run may be in Slurm's queue, and there is no scancel here"):
        run_jobs(square, [(1,)], tmp_path)


def test_results_are_kept_as_jobs_end(tmp_path):
    kept = []
    assert run_jobs(later_first, [(i, 3) for i in range(3)], tmp_path, nj=3, keep=lambda index, result: kept.append((index, result))) == [0, 1, 2]
    assert sorted(kept) == [(0, 0), (1, 1), (2, 2)]
