"""Checkpoints of an epoch after an interruption."""

import io

import pytest
import torch

from asrlib.pt.saves import whole_saves


class Killed(Exception):
    pass


class Breaking:
    """An object whose pickling fails in the middle, like an interruption."""

    def __reduce__(self):
        raise Killed


def load(path):
    return torch.load(path, weights_only=True)


def test_checkpoint_comes_after_the_weights_of_its_epoch(tmp_path):
    checkpoint, weights = tmp_path / "checkpoint.pth", tmp_path / "1epoch.pth"
    with whole_saves():
        torch.save({"epoch": 1}, checkpoint)
        assert not checkpoint.exists()
        torch.save({"w": torch.ones(2)}, weights)
    assert load(checkpoint) == {"epoch": 1} and load(weights)["w"].tolist() == [1, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1epoch.pth", "checkpoint.pth"]


def test_stopped_in_the_middle_of_the_weights(tmp_path):
    checkpoint = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 1}, checkpoint)
    with pytest.raises(Killed), whole_saves():
        torch.save({"epoch": 2}, checkpoint)
        torch.save([torch.ones(1000), Breaking()], tmp_path / "2epoch.pth")
    assert load(checkpoint) == {"epoch": 1}, "the epoch is to be done again"
    assert not (tmp_path / "2epoch.pth").exists()


def test_other_targets_and_torch_itself_stay_as_they_were(tmp_path):
    plain, stream = torch.save, io.BytesIO()
    with whole_saves():
        torch.save({"a": 1}, stream)
    assert torch.load(io.BytesIO(stream.getvalue()), weights_only=True) == {"a": 1} and torch.save is plain
