"""Parts of batches: how many, for which memory, and that they leave the update what it is."""

import numpy as np
import pytest

from asrlib.config.base import load_config
from asrlib.config.ctc import load_train_config
from asrlib.config.pretraining import PretrainConfig
from asrlib.ms.data.batches import Batch
from asrlib.ms.data.waveforms import ContrastiveBatch, MaskedBatch
from asrlib.ms.training.memory_plan import Parts, activation_memory, fixed_memory, plan_parts
from asrlib.utils.memory import GB


@pytest.mark.parametrize(
    ("name", "parameters", "rows", "length", "gigabytes"),
    [  # resident memory of a process after a step on an AMD EPYC: 2 cores, AVX-512
        ("deepspeech2.yaml", 86_608_096, 4, 900, 2.28),
        ("jasper.yaml", 332_632_349, 2, 1600, 10.4),
        ("hubert_base.yaml", 94_697_088, 2, 160_000, 4.72),
    ],
)
def test_estimates_are_near_what_was_measured(root, name, parameters, rows, length, gigabytes):
    path = root / "conf" / name
    config = load_config(path, PretrainConfig) if name.startswith("hubert") else load_train_config(path)
    estimate = (fixed_memory(config, parameters) + activation_memory(config, rows, length)) / GB
    assert 0.8 * gigabytes <= estimate <= 1.35 * gigabytes


def test_a_batch_that_does_not_fit_is_split_and_said(root, logged):
    config = load_train_config(root / "conf" / "jasper.yaml")
    parts = plan_parts(config, [(64, 1600), (64, 800)], 332_632_349, 22.0)
    count = parts.of(np.zeros((64, 1600, 64), np.float32))
    assert 64 / count * activation_memory(config, 1, 1600) < 22e9 and parts.accumulate
    assert parts.of(np.zeros((64, 800, 64), np.float32)) < count
    assert any(f"batches of 64 x 16.0 s are computed in {count} parts" in line for line in logged)


def test_enough_memory_means_whole_batches(root):
    assert not plan_parts(load_train_config(root / "conf" / "deepspeech2.yaml"), [(20, 1600)], 86_608_096, 64.0).accumulate


def test_one_utterance_that_does_not_fit_is_said(root, logged):
    parts = plan_parts(load_train_config(root / "conf" / "jasper.yaml"), [(4, 1600)], 332_632_349, 5.0)
    assert parts.of(np.zeros((4, 1600, 64), np.float32)) == 4
    assert any("a batch of one utterance of 16.0 s needs" in line and "trainer.recompute=true" in line for line in logged)


def test_parts_of_a_ctc_batch():
    rng = np.random.default_rng(0)
    batch = Batch(["a", "b", "c"], rng.normal(size=(4, 6, 2)).astype(np.float32), np.array([6, 5, 4, 1], np.int32), np.ones((4, 2), np.int32), np.array([2, 1, 1, 0], np.int32))
    whole, parts = batch.inputs(), batch.split(3)
    assert [part.utts for part in parts] == [["a", "b"], ["c"]], "two rows each; the third part would be empty"
    weights = np.concatenate([part.inputs(part.units / batch.units)[4] for part in parts])
    np.testing.assert_allclose(weights, whole[4], rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([part.feats for part in parts]), batch.feats)
    five = Batch(list("abcde"), np.ones((5, 3, 1), np.float32), np.full(5, 3, np.int32), np.ones((5, 1), np.int32), np.ones(5, np.int32)).split(2)
    assert [len(part.feats) for part in five] == [3, 3] and five[1].feat_lengths.tolist() == [3, 3, 1]
    assert five[1].inputs(0.4)[4].tolist() == pytest.approx([0.2, 0.2, 0.0])


def test_parts_of_batches_of_waveforms():
    def arrays(*shape):
        return np.ones(shape, np.float32)

    keep, seed = arrays(2), np.array(5, np.int32)
    masked = MaskedBatch(["a", "b", "c"], arrays(3, 9), np.full(3, 9, np.int32), np.ones((3, 2), np.int32), arrays(3, 2), keep, seed, arrays(3, 2), np.zeros(3, np.int32))
    first, second = masked.split(2)
    assert first.seed == 5 and second.seed != 5, "each part has dropout of its own"
    assert (first.units, second.units) == (4, 2) and second.speakers.tolist() == [0, -1] and second.lengths.tolist() == [9, 0]
    contrastive = ContrastiveBatch(["a", "b", "c"], arrays(3, 9), np.full(3, 9, np.int32), arrays(3, 2), arrays(3, 2, 2), keep, seed, arrays(3, 2, 4), None)
    assert sum(part.units for part in contrastive.split(3)) == contrastive.units
    assert Parts().of(masked.wavs) == 1
