"""Safetensors files, against the library that defines them."""

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from asrlib.utils.arrays import read_metadata, read_safetensors, save_arrays, widened
from asrlib.utils.errors import UserError

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.arange(5, dtype=np.int8),
    "scalar": np.array(2.5, np.float64),
    "step": np.array([3], np.int64),
    "half": np.ones((2, 2), np.float16),
    "mask": np.array([True, False]),
    "bytes": np.array([1, 255], np.uint8),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


def test_the_library_reads_what_is_written(tmp_path):
    save_arrays(tmp_path / "a.safetensors", ARRAYS, {"epoch": "3", "name": "ä"})
    for read in (safetensors.numpy.load_file, read_safetensors):
        arrays = read(tmp_path / "a.safetensors")
        assert arrays.keys() == ARRAYS.keys()
        for name, array in arrays.items():
            assert array.dtype == ARRAYS[name].dtype and array.shape == ARRAYS[name].shape
            np.testing.assert_array_equal(array, ARRAYS[name])
    assert read_metadata(tmp_path / "a.safetensors") == {"epoch": "3", "name": "ä"}


def test_the_same_arrays_make_the_same_bytes(tmp_path):
    save_arrays(tmp_path / "a", ARRAYS)
    save_arrays(tmp_path / "b", dict(reversed(ARRAYS.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_older_file(tmp_path):
    save_arrays(tmp_path / "a", {"a": np.ones(3)})
    with pytest.raises(OSError, match="No space left"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        save_arrays(tmp_path / "a", {"a": np.zeros(3)})
    np.testing.assert_array_equal(read_safetensors(tmp_path / "a")["a"], np.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_faulty_files(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        read_safetensors(tmp_path / "none")
    save_arrays(tmp_path / "a", ARRAYS)
    (tmp_path / "cut").write_bytes((tmp_path / "a").read_bytes()[:-1])
    with pytest.raises(UserError, match="cut: damaged checkpoint: its size, .* is not that of its header"):
        read_safetensors(tmp_path / "cut")
    safetensors.torch.save_file({"a": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "small")
    with pytest.raises(UserError, match="small: its arrays have the type F8_E4M3, which is not read: save them as float32"):
        read_safetensors(tmp_path / "small")


def test_half_precision_is_widened_exactly(tmp_path, logged):
    tensors = {"half": torch.randn(50).half(), "brain": torch.randn(50).bfloat16(), "single": torch.randn(2), "count": torch.tensor(3)}
    safetensors.torch.save_file(tensors, tmp_path / "a")
    found = widened(read_safetensors(tmp_path / "a"), "a")
    for name in ("half", "brain", "single"):
        np.testing.assert_array_equal(found[name], tensors[name].float().numpy(), strict=True)
    assert found["count"] == 3 and found["count"].dtype == np.int64
    assert logged == ["a: 1 of 4 arrays are float16: widened to float32", "a: 1 of 4 arrays are bfloat16: widened to float32"]
