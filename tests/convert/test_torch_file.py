"""Files of torch.save, compared with torch.load: archives, the older form, views, types, damage."""

import zipfile

import numpy as np
import pytest
import torch

from asrlib.convert.torch_file import read_torch
from asrlib.convert.unpickle import Inert
from asrlib.utils.arrays import BFLOAT16, widened
from asrlib.utils.errors import UserError

FORMS = {
    "archive": {},
    "older": {"_use_new_zipfile_serialization": False},
    "archive, protocol 4": {"pickle_protocol": 4},
    "older, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}
TYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "uint16")


@pytest.fixture(params=FORMS)
def save(request, tmp_path):
    """save(object): the path of its file."""

    def write(content):
        torch.save(content, tmp_path / "a.pt", **FORMS[request.param])
        return tmp_path / "a.pt"

    return write


def test_tensors_of_every_type_and_form(save):
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    tensors = {
        **{kind: (10 * torch.randn(3, 2)).to(getattr(torch, kind)) for kind in TYPES},
        "base": base, "part of the same storage": base[1:3, ::2], "transposed": base.t(), "expanded": base[:1].expand(5, 6),
        "scalar": torch.tensor(7), "empty": torch.zeros(0, 3), "parameter": torch.nn.Parameter(torch.randn(2)), "one more axis": base[None],
    }  # fmt: skip
    found = read_torch(save(tensors))
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        theirs = tensor.detach().numpy()
        assert found[name].dtype == theirs.dtype and found[name].shape == theirs.shape, name
        np.testing.assert_array_equal(found[name], theirs)


def test_bfloat16_is_told_apart_and_widened_exactly(save, logged):
    tensor = torch.cat([torch.randn(100).bfloat16(), torch.tensor([float("inf"), 1e-40, -0.0]).bfloat16()])
    found = read_torch(save({"a": tensor, "b": torch.ones(2)}))
    assert found["a"].dtype == BFLOAT16
    wide = widened(found, "a.pt")
    np.testing.assert_array_equal(wide["a"], tensor.float().numpy())
    assert wide["b"].dtype == np.float32 and logged == ["a.pt: 1 of 2 arrays are bfloat16: widened to float32"]


def test_states_keep_their_metadata_and_shared_weights(save):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    model.again = model[0]
    found = read_torch(save({"model": model.state_dict(), "optimizer": torch.optim.Adam(model.parameters()).state_dict(), "epoch": 3}))
    assert found["epoch"] == 3 and found["optimizer"]["param_groups"][0]["lr"] == 1e-3
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(found["model"][name], tensor.numpy())
    assert np.shares_memory(found["model"]["again.weight"], found["model"]["0.weight"])


def test_unread_types(tmp_path):
    content = {"float8": torch.ones(2).to(torch.float8_e4m3fn), "sparse": torch.eye(2).to_sparse(), "device": torch.device("cpu")}
    torch.save(content | {"size": torch.Size([2]), "weight": torch.ones(2)}, tmp_path / "a.pt")
    found = read_torch(tmp_path / "a.pt")
    assert all(isinstance(found[name], Inert) for name in ("float8", "sparse", "device", "size"))
    np.testing.assert_array_equal(found["weight"], [1, 1])


def test_the_file_is_not_changed(save):
    path = save({"a": torch.ones(3)})
    before = path.read_bytes()
    read_torch(path)["a"][:] = 7
    assert path.read_bytes() == before


def test_a_compressed_archive(tmp_path):
    torch.save({"a": torch.arange(5)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    np.testing.assert_array_equal(read_torch(tmp_path / "b.pt")["a"], np.arange(5))


def test_cut_files(save):
    path = save({"a": torch.randn(1000)})
    data = path.read_bytes()
    for length in (3000, len(data) - 30, 60):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"a.pt: (the archive is cut off|the file is cut off|damaged checkpoint)"):
            read_torch(path)


def test_archives_of_other_kinds(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("model.pt", b"x")
    with pytest.raises(UserError, match="other.zip: a zip archive, but not of PyTorch"):
        read_torch(tmp_path / "other.zip")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    with pytest.raises(UserError, match="script.pt: a TorchScript program, not weights"):
        read_torch(tmp_path / "script.pt")


@pytest.mark.parametrize("size, stride, offset", [((9,), (1,), 0), ((2, 2), (8, 1), 0), ((1,), (1,), 8), ((2,), (-1,), 3), ((2**62,), (0,), -1)])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, size, stride, offset):
    """Otherwise memory beside the file would be read."""

    storage = torch.storage.TypedStorage(wrap_storage=torch.zeros(8).untyped_storage(), dtype=torch.float32, _internal=True)

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, None)

    torch.save({"a": Tensor()}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="a.pt: damaged checkpoint: a tensor"):
        read_torch(tmp_path / "a.pt")
