"""Parts of batches: their number for the available memory; they do not change the update."""

import numpy as np
import pytest

from asrlib.config.families import load_pretrain_config, load_train_config
from asrlib.ms.data.batches import CtcBatch
from asrlib.ms.training import memory_plan
from asrlib.ms.training.memory_plan import activation_memory, fixed_memory, plan_parts
from asrlib.utils.memory import GB


@pytest.mark.parametrize(
    ("name", "parameters", "rows", "length", "gigabytes"),
    [  # resident memory of a process after a step on an AMD EPYC: 2 cores, AVX-512
        ("deepspeech2.yaml", 86_608_096, 4, 900, 2.28),
        ("jasper.yaml", 332_632_349, 2, 1600, 10.4),
        ("hubert_base.yaml", 94_697_088, 2, 160_000, 4.27),
        ("hubert_large.yaml", 316_609_408, 4, 225_600, 15.2),
    ],
)
def test_estimates_are_near_what_was_measured(root, name, parameters, rows, length, gigabytes):
    path = root / "conf" / name
    config = load_pretrain_config(path) if name.startswith("hubert") else load_train_config(path)
    estimate = (fixed_memory(config, parameters) + activation_memory(config, rows, length)) / GB
    assert 0.8 * gigabytes <= estimate <= 1.35 * gigabytes


def test_a_plan_holds_what_was_measured(root, monkeypatch, logged):
    """Jasper with batches of 16 x 800, 11 x 1104 and 8 x 1600 frames took 23.3 GB and was killed, where 21.4 GB had been available."""
    config, shapes = load_train_config(root / "conf/jasper.yaml"), [(16, 800), (11, 1104), (8, 1600)]
    assert not plan_parts(config, shapes, 332_632_349, 25.0).accumulate
    assert plan_parts(config, shapes, 332_632_349, 23.3).accumulate
    monkeypatch.setattr(memory_plan, "available_memory", lambda: 23.3 * GB)
    plan_parts(config, shapes, 332_632_349)
    assert any("21.0 GB may be used" in line for line in logged), "other processes need some, too"


def batch(rows, frames):
    lengths = np.full(rows, frames, np.int32)
    return CtcBatch([], np.zeros((rows, frames, 1), np.float32), lengths, np.zeros((rows, 1), np.int32), lengths, np.array(0, np.int32))


def test_a_batch_that_does_not_fit_is_split_with_a_log(root, logged):
    config = load_train_config(root / "conf" / "jasper.yaml")
    parts = plan_parts(config, [(64, 1600), (64, 800)], 332_632_349, 22.0)
    count = parts.count(batch(64, 1600))
    assert 64 / count * activation_memory(config, 1, 1600) < 22e9 and parts.accumulate
    assert parts.count(batch(64, 800)) < count
    assert any(f"batches of 64 x 16.0 s are computed in {count} parts" in line for line in logged)


def test_enough_memory_means_whole_batches(root):
    assert not plan_parts(load_train_config(root / "conf" / "deepspeech2.yaml"), [(20, 1600)], 86_608_096, 64.0).accumulate


def test_one_utterance_that_does_not_fit_gives_a_warning(root, logged):
    parts = plan_parts(load_train_config(root / "conf" / "jasper.yaml"), [(4, 1600)], 332_632_349, 5.0)
    assert parts.count(batch(4, 1600)) == 4
    assert any("a batch of one utterance of 16.0 s needs" in line and "trainer.recompute=true" in line for line in logged)
