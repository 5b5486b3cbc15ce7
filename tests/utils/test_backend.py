"""Options of sbatch by the kind of job."""

import pytest

from asrlib.utils.backend import Backend
from asrlib.utils.errors import UserError

ARGS = ("partition=cpu", "time=4:00:00", "gpu.partition=a100", "gpu.gres=gpu:2", "training.cpus-per-task=8", "exclusive=true")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("array", {"partition": "cpu", "time": "4:00:00"}),
        ("training", {"partition": "cpu", "time": "4:00:00", "cpus_per_task": "8"}),
        ("gpu", {"partition": "a100", "time": "4:00:00", "gres": "gpu:2"}),
    ],
)
def test_those_of_a_kind_win(kind, expected):
    assert Backend("slurm", ARGS, kind).options() == expected | {"no_requeue": True, "exclusive": True}


def test_requeue_is_asked_for():
    assert Backend("slurm", ("requeue=true",)).options() == {"requeue": True}
    assert Backend("slurm", ()).options() == {"no_requeue": True}, "no time limit but the partition's"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("gpus.gres=gpu:1", "no kind of jobs 'gpus' in 'gpus.gres=gpu:1': array, training, gpu"),
        ("partition", "'partition' is not key=value"),
        ("job-name=mine", "this option of sbatch is set by the recipe"),
    ],
)
def test_wrong_options(word, message):
    with pytest.raises(UserError, match=message):
        Backend("slurm", (word,)).options()
