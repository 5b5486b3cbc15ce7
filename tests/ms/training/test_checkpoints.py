"""The kept checkpoints: the best by validation, and those that trainer.keep_updates names."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from asrlib.ms.checkpoint.weights import load_arrays
from asrlib.ms.training.checkpoints import Checkpoints
from asrlib.utils.arrays import read_metadata


@pytest.fixture
def network():
    return nn.Dense(2, 2, bias_init="zeros")


def save(checkpoints, network, epoch, wer, loss=1.0, pinned=False):
    network.weight.set_data(Tensor(np.full((2, 2), epoch), ms.float32))
    checkpoints.save(f"epoch-{epoch:03d}", network, {"epoch": epoch, "update": 10 * epoch, "score": wer, "loss": loss}, pinned)


def epochs(checkpoints):
    return [row["epoch"] for row in checkpoints.rows()]


def test_best_are_kept_best_first(tmp_path, network):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for epoch, wer, loss in ((1, 90.0, 5.0), (2, 50.0, 3.0), (3, 60.0, 1.0), (4, 50.0, 2.0), (5, 95.0, 0.1), (6, 40.0, 9.0)):
        save(checkpoints, network, epoch, wer, loss)
    assert epochs(checkpoints) == [6, 4, 2]  # for equal WER the lower loss first
    assert checkpoints.best() == tmp_path / "checkpoints" / "epoch-006.safetensors"
    assert len(list(checkpoints.folder.glob("*.safetensors"))) == 3
    assert epochs(Checkpoints(tmp_path, keep=3)) == [6, 4, 2]
    for epoch in (2, 4, 6):
        np.testing.assert_array_equal(load_arrays(checkpoints.path(f"epoch-{epoch:03d}"))["weight"], np.full((2, 2), epoch))


def test_epoch_saved_again(tmp_path, network):
    """A resumed run validates the epoch of its state again."""
    checkpoints = Checkpoints(tmp_path, keep=2)
    for epoch, wer in ((1, 50.0), (2, 40.0), (2, 60.0)):
        save(checkpoints, network, epoch, wer)
    assert [(row["epoch"], row["score"]) for row in checkpoints.rows()] == [(1, 50.0), (2, 60.0)]


def test_lost_file(tmp_path, network):
    checkpoints = Checkpoints(tmp_path, keep=2)
    save(checkpoints, network, 1, 50.0)
    save(checkpoints, network, 2, 40.0)
    checkpoints.path("epoch-002").unlink()
    assert epochs(checkpoints) == [1]


@pytest.mark.parametrize(("count", "expected"), [(1, 3.0), (2, 2.0), (9, 2.0)])
def test_average_of_the_best(tmp_path, network, count, expected):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for epoch, wer in ((1, 50.0), (2, 90.0), (3, 40.0)):
        save(checkpoints, network, epoch, wer)
    arrays = load_arrays(checkpoints.averaged(count))
    np.testing.assert_array_equal(arrays["weight"], np.full((2, 2), expected, np.float32))
    assert arrays.keys() == {"weight", "bias"} and epochs(checkpoints) == [3, 1, 2]


@pytest.mark.parametrize("worst", [float("nan"), float("inf")])
def test_epoch_without_a_finite_loss_is_the_last(tmp_path, network, worst):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for epoch, loss in ((1, worst), (2, 3.0), (3, 2.0)):
        save(checkpoints, network, epoch, 100.0, loss)
    assert epochs(checkpoints) == [3, 2]


def test_named_updates_stay(tmp_path, network):
    checkpoints = Checkpoints(tmp_path, keep=1)
    for epoch, wer, pinned in ((1, 50.0, True), (2, 40.0, False), (3, 30.0, False)):
        save(checkpoints, network, epoch, wer, pinned=pinned)
    assert epochs(checkpoints) == [3, 1] and {path.stem for path in checkpoints.folder.glob("*.safetensors")} == {"epoch-001", "epoch-003"}
    assert read_metadata(checkpoints.best()) == {"epoch": "3", "updates": "30", "valid_loss": "1.0"}
