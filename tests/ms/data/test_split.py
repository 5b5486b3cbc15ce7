"""Batches computed in parts: the rows, and their weights in the update."""

import numpy as np
import pytest

from asrlib.ms.data.batches import CtcBatch
from asrlib.ms.data.masked import ContrastiveBatch, MaskedBatch


def test_parts_of_a_ctc_batch():
    rng = np.random.default_rng(0)
    feats, feat_lengths = rng.normal(size=(4, 6, 2)).astype(np.float32), np.array([6, 5, 4, 1], np.int32)
    batch = CtcBatch(["a", "b", "c"], feats, feat_lengths, np.ones((4, 2), np.int32), np.array([2, 1, 1, 0], np.int32), np.array(7, np.int32))
    whole, parts = batch.inputs(), batch.split(3)
    assert [part.utts for part in parts] == [["a", "b"], ["c"]], "two rows each; the third part would be empty"
    inputs = [part.inputs(part.units / batch.units) for part in parts]
    weights = np.concatenate([part[4] * part[5] for part in inputs])
    np.testing.assert_allclose(weights, whole[4], rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([part.feats for part in parts]), batch.feats)
    assert [int(part.seed) for part in parts][0] == 7 != int(parts[1].seed), "each part has its own dropout"
    ones = np.ones(5, np.int32)
    five = CtcBatch(list("abcde"), np.ones((5, 3, 1), np.float32), 3 * ones, ones[:, None], ones, np.array(7, np.int32)).split(2)
    assert [len(part.feats) for part in five] == [3, 3] and five[1].feat_lengths.tolist() == [3, 3, 1]
    assert five[1].inputs(0.4)[4].tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_parts_of_batches_of_waveforms():
    def arrays(*shape):
        return np.ones(shape, np.float32)

    rows = {"wavs": arrays(3, 9), "lengths": np.full(3, 9, np.int32), "frame_counts": np.full(3, 2, np.int32), "mask": arrays(3, 2)}
    common = {"utts": ["a", "b", "c"], **rows, "keep": arrays(2), "seed": np.array(5, np.int32)}
    masked = MaskedBatch(**common, labels=np.ones((3, 2), np.int32), pitch=arrays(3, 2), speakers=np.zeros(3, np.int32))
    first, second = masked.split(2)
    assert first.seed == 5 and second.seed != 5, "each part has its own dropout"
    assert (first.units, second.units) == (4, 2) and second.speakers.tolist() == [0, -1] and second.lengths.tolist() == [9, 0]
    assert (masked.frames, masked.shape, second.shape) == (6, (3, 9), (2, 9))
    contrastive = ContrastiveBatch(**common, negatives=arrays(3, 2, 2), noise=arrays(3, 2, 4), config=None)
    assert sum(part.units for part in contrastive.split(3)) == contrastive.units
