"""Places of parallel fine-tunings on cards."""

import contextlib
import sys
from collections import Counter
from pathlib import Path

import pytest

from asrlib.config.systems import System
from asrlib.pt import sweep as module
from asrlib.pt.device import Device
from asrlib.pt.finetune import Request
from asrlib.pt.sweep import Places, free_place, run_in_place, sweep
from asrlib.utils.backend import Backend
from asrlib.utils.errors import UserError


def test_a_place_is_free_again_after_its_job(tmp_path):
    with free_place(tmp_path, 2) as first:
        with free_place(tmp_path, 2) as second:
            assert (first, second) == (0, 1)
        with free_place(tmp_path, 2) as again:
            assert again == 1


def test_jobs_divide_the_cards(tmp_path, monkeypatch):
    """Four jobs on two cards, all at once: two on each."""
    ran = []
    monkeypatch.setattr(module, "run_command", lambda *arguments: ran.append(arguments))
    places = Places("cuda", ("0", "5"))
    with contextlib.ExitStack() as others:
        for _ in range(4):
            run_in_place(places, 4, tmp_path, "finetune", ["--x"], 1, "system a: ")
            others.enter_context(free_place(tmp_path, 4))  # as if it still ran
    assert Counter(words[4]["CUDA_VISIBLE_DEVICES"] for words in ran) == {"0": 2, "5": 2}
    run_in_place(Places(), 4, tmp_path, "finetune", ["--x"], 1, "system a: ")
    assert ran[-1] == ("finetune", ["--x"], 1, "system a: "), "without cards"


@pytest.fixture
def systems(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "is_finished", lambda request: False)
    return [System(f"{n}", "hubert_local", "f", n, None, "", tmp_path / f"{n}") for n in range(5)]


def request(**options):
    return Request(Path("a.yaml"), (), Path("train"), Path("dev"), Path("tokens.txt"), Path("exp"), **options)


def test_as_many_at_once_as_there_are_groups_of_cards(systems, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "choose", lambda kind, count: Device("cuda", ("T4",) * 4))
    asked = []
    monkeypatch.setattr(module, "run_jobs", lambda function, jobs, log_dir, nj, *_: asked.append((jobs, nj)))
    sweep(systems, request(ngpu=2), tmp_path, 0)
    jobs, nj = asked[0]
    assert nj == 2 and jobs[0][0] == Places("cuda", ("0,1", "2,3")) and len(jobs) == 5
    options = jobs[0][4]
    assert options[options.index("--ngpu") + 1] == "2" and options[options.index("--asr_device") + 1] == "auto"
    sweep(systems, request(ngpu=1), tmp_path, 3)
    assert asked[1][1] == 3
    sweep(systems, request(ngpu=0), tmp_path, 0, Backend("slurm"))
    assert asked[2][0][0][0] == Places(), "a job of the cluster sees its own cards"


@pytest.mark.skipif("torch_npu" in sys.modules, reason="there are NPUs")
def test_a_missing_card_is_said_first(systems, tmp_path):
    with pytest.raises(UserError, match="--asr_device npu: torch_npu is not installed"):
        sweep(systems, request(device="npu"), tmp_path, 0)
