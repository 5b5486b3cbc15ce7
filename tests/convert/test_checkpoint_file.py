"""Kinds of files are told by their contents; what is no checkpoint is named."""

import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from asrlib.convert.checkpoint_file import kind_of, read_checkpoint
from asrlib.utils.errors import UserError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
NOT_CHECKPOINTS = {
    "a pointer of Git LFS": (POINTER, "a pointer of Git LFS, not the file itself: run git lfs pull"),
    "a page": (b"<!DOCTYPE html><html><head><title>404</title>", "a web page, not a checkpoint"),
    "a page after blanks": (b"\n\n  <HTML>\n", "a web page, not a checkpoint"),
    "an error of a store": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page, not a checkpoint"),
    "nothing": (b"", "the file is empty"),
    "a text": (b"Entry not found", "not a checkpoint of PyTorch, safetensors or MindSpore: a text"),
    "JSON": (b'{"error": "Invalid credentials in Authorization header"}', "not a checkpoint of PyTorch, safetensors or MindSpore: a text"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
    "an archive": (b"7z\xbc\xaf\x27\x1c" + bytes(20), "a 7z archive: unpack it"),
    "noise": (bytes(range(200, 256)), "not a checkpoint of PyTorch, safetensors or MindSpore$"),
    "the beginning of safetensors": ((10**6).to_bytes(8, "little") + b'{"a":', "the file is cut off after 13 bytes"),
}


@pytest.mark.parametrize("kind", NOT_CHECKPOINTS)
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.ckpt", "a"])
def test_what_is_no_checkpoint_is_named(tmp_path, kind, name):
    data, message = NOT_CHECKPOINTS[kind]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"{name}: {message}"):
        read_checkpoint(tmp_path / name)


def test_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="none.pt: no such checkpoint"):
        kind_of(tmp_path / "none.pt")


def test_names_do_not_matter(tmp_path):
    """Every kind under the suffixes of the others."""
    from mindspore import Tensor, save_checkpoint

    state = {"w": torch.arange(3.0)}
    for name in ("a.ckpt", "a.safetensors", "a.bin", "a"):
        torch.save(state, tmp_path / name)
        assert kind_of(tmp_path / name) == "torch"
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=False)
        assert kind_of(tmp_path / name) == "torch"
        np.testing.assert_array_equal(read_checkpoint(tmp_path / name).arrays["w"], [0, 1, 2])
        save_file(state, tmp_path / name)
        assert kind_of(tmp_path / name) == "safetensors"
        np.testing.assert_array_equal(read_checkpoint(tmp_path / name).arrays["w"], [0, 1, 2])
    save_checkpoint([{"name": "w", "data": Tensor(np.ones(3, np.float32))}], str(tmp_path / "b.ckpt"))
    (tmp_path / "b.ckpt").rename(tmp_path / "b.pt")
    assert kind_of(tmp_path / "b.pt") == "mindspore" and kind_of(tmp_path) == "folder"
    for mode in ("w", "w:gz"):
        with tarfile.open(tmp_path / "c.nemo", mode) as archive:
            archive.add(tmp_path / "a.bin", "model_weights.ckpt")
        assert kind_of(tmp_path / "c.nemo") == "tar"


@pytest.mark.parametrize("keys", [(), ("model",), ("state_dict",), ("model_weight",), ("model_state_dict",), ("state_dict", "model")])
def test_states_where_toolkits_put_them(tmp_path, keys):
    content = {"w": torch.ones(2)}
    for key in keys[::-1]:
        content = {key: content, f"beside {key}": 3}
    torch.save(content, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt")
    np.testing.assert_array_equal(found.arrays["w"], [1, 1])
    assert found.rest == {f"beside {key}": 3 for key in keys}


def test_a_state_with_something_else(tmp_path):
    torch.save({"w": torch.ones(2), "q": torch.eye(2).to_sparse()}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="a.pt: q is not a tensor of numbers"):
        read_checkpoint(tmp_path / "a.pt")
    torch.save({"epoch": 3}, tmp_path / "b.pt")
    with pytest.raises(UserError, match="b.pt: no model state found"):
        read_checkpoint(tmp_path / "b.pt")


def test_an_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("hubert/config.json", "{}")
    with pytest.raises(UserError, match="a.pt: a zip archive, but not of PyTorch"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("length", [128, 0x280, 0x480, 0x4B50])
def test_a_safetensors_header_of_any_length(tmp_path, length):
    """Its first bytes, the length of the header, may be those of a pickle or of a zip archive."""
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    (tmp_path / "a").write_bytes(length.to_bytes(8, "little") + header + np.float32(3).tobytes())
    assert kind_of(tmp_path / "a") == "safetensors"
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "a").arrays["w"], [3])


def test_folders(tmp_path):
    """Of transformers: one file or parts, told by their contents; a part outside of the folder is not read."""
    folder = tmp_path / "hubert"
    folder.mkdir()
    (folder / "tf_model.h5").write_bytes(b"\x89HDF")
    with pytest.raises(UserError, match="hubert: no model.safetensors or pytorch_model.bin in the folder$"):
        read_checkpoint(folder)
    torch.save({"w": torch.ones(2)}, folder / "checkpoint_best.pt")
    with pytest.raises(UserError, match="in the folder; it has checkpoint_best.pt: give the file"):
        read_checkpoint(folder)
    (folder / "pytorch_model.bin").write_bytes(POINTER)
    with pytest.raises(UserError, match="hubert/pytorch_model.bin: a pointer of Git LFS"):
        read_checkpoint(folder)
    save_file({"w": torch.ones(2)}, folder / "model-1.safetensors")
    save_file({"v": torch.ones(3)}, folder / "model-2.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "model-1.safetensors", "v": "model-2.safetensors"}}))
    assert {name: len(array) for name, array in read_checkpoint(folder).arrays.items()} == {"w": 2, "v": 3}
    save_file({"x": torch.ones(3)}, tmp_path / "secret.safetensors")
    index.write_text(json.dumps({"weight_map": {"x": "../secret.safetensors"}}))
    with pytest.raises(UserError, match="hubert/secret.safetensors: no such checkpoint"):
        read_checkpoint(folder)
    index.write_text("{")
    with pytest.raises(UserError, match="index.json: not valid JSON"):
        read_checkpoint(folder)
