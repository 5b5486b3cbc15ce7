"""PyTorch weights: reading without running code, and assignment to the right model only."""

import os
import pickle

import numpy as np
import pytest
import torch

from asrlib.pt.weights import assign, read_weights, shapes
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def model():
    return torch.nn.Linear(3, 2)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    torch.save({"model": {"weight": Malicious(tmp_path / "ran")}}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(UserError, match="refused|damaged"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", [None, "model", "state_dict", "model_weight"])
def test_states_where_toolkits_put_them(tmp_path, model, key):
    state = model.state_dict()
    torch.save(state if key is None else {key: state, "epoch": 3}, tmp_path / "a.pt")
    arrays = read_weights(tmp_path / "a.pt")
    assert {name: array.shape for name, array in arrays.items()} == shapes(model)
    twin = assign(torch.nn.Linear(3, 2), arrays, "a.pt")
    assert torch.equal(twin.weight, model.weight)


def test_faulty_files(tmp_path, model):
    with pytest.raises(UserError, match="no such checkpoint"):
        read_weights(tmp_path / "none.pt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match="cut.pt: the archive is cut off after 8 bytes"):
        read_weights(tmp_path / "cut.pt")
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="no model state found"):
        read_weights(tmp_path / "other.pt")
    torch.save({"weight": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "float8.pt")
    with pytest.raises(UserError, match="float8.pt: no model state found"):
        read_weights(tmp_path / "float8.pt")
    with pytest.raises(UserError, match="double: not a checkpoint of this model: bias is float64, torch.float32 is expected"):
        assign(model, {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2)}, "double")
    save_arrays(tmp_path / "one.safetensors", {"weight": np.zeros((2, 3), np.float32)})
    with pytest.raises(UserError, match="not a checkpoint of this model.*bias"):
        assign(model, read_weights(tmp_path / "one.safetensors"), "one")
