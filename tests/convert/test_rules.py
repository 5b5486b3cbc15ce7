"""Parameter names and checks of the conversion."""

import numpy as np
import pytest
import torch

from asrlib.convert.rules import converted, pytorch_name, reversed_rule, substituted, to_mindspore, to_pytorch
from asrlib.utils.errors import UserError

MS = {"bn1.gamma": (3,), "bn1.beta": (3,), "bn1.moving_mean": (3,), "bn1.moving_variance": (3,), "fc.weight": (2, 3)}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in MS.items()}


@pytest.fixture
def twin():
    module = torch.nn.Module()
    module.bn1, module.fc = torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2, bias=False)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def test_there_and_back(arrays, twin):
    there = to_pytorch(arrays, twin, "a.safetensors")
    assert set(there) == set(twin) and there["bn1.num_batches_tracked"] == 0
    np.testing.assert_array_equal(there["bn1.running_var"], arrays["bn1.moving_variance"])
    back = to_mindspore(there, MS, "b.safetensors")
    assert set(back) == set(arrays) and all((back[name] == arrays[name]).all() for name in arrays)


def test_kernel_of_a_convolution():
    """Rows of position k hold PyTorch's weight[:, :, k]."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(5 * 3, 4)).astype(np.float32)  # width 5, 3 inputs, 4 outputs
    there = to_pytorch({"a.kernel": kernel}, {"a.weight": (4, 3, 5)}, "a")["a.weight"]
    for place in range(5):
        np.testing.assert_array_equal(there[:, :, place], kernel[3 * place : 3 * place + 3].T)
    assert (to_mindspore({"a.weight": there}, {"a.kernel": (15, 4)}, "b")["a.kernel"] == kernel).all()
    with pytest.raises(UserError, match=r"a.weight has shape \(20, 3\), the model's a.kernel \(15, 4\)"):
        to_mindspore({"a.weight": np.zeros((3, 4, 5), np.float32)}, {"a.kernel": (15, 4)}, "b")
    with pytest.raises(UserError, match=r"a.kernel has shape \(15, 4\), the model's a.weight \(4, 2, 5\)"):
        to_pytorch({"a.kernel": kernel}, {"a.weight": (4, 2, 5)}, "a")


def change(name, value):
    def apply(arrays):
        arrays[name] = value(arrays[name])

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.pop("bn1.gamma"), "bn1.weight is not in the file"),
        (lambda a: a.update({"bn1.scale": a.pop("bn1.gamma")}), "bn1.scale is in the file and not in the model; bn1.weight is not in the file"),
        (change("fc.weight", np.transpose), r"fc.weight has shape \(3, 2\), the model's fc.weight \(2, 3\)"),
        (change("fc.weight", lambda x: x.astype(np.float64)), "fc.weight is float64, float32 is expected"),
        (change("fc.weight", lambda x: np.where(x == x.max(), np.float32("nan"), x)), "fc.weight holds values that are not finite"),
        (lambda a: a.update({"bn1.weight": a["bn1.gamma"]}), "both become bn1.weight"),
    ],
)
def test_every_array_is_accounted_for(arrays, twin, spoil, message):
    spoil(arrays)
    with pytest.raises(UserError, match=f"a.safetensors: not a checkpoint of this model: .*{message}"):
        to_pytorch(arrays, twin, "a.safetensors")


def test_many_faults_are_counted(arrays):
    with pytest.raises(UserError, match="and 2 more$"):
        converted({}, pytorch_name, MS, "a")


def test_rules():
    rename = substituted([(r"^a\.(\d+)\.", r"b.\1."), (r"\.w$", ".weight")])
    assert rename("a.3.w") == "b.3.weight"
    assert reversed_rule(rename, ["a.3.w"]) == {"b.3.weight": "a.3.w"}
    with pytest.raises(ValueError, match="two names"):
        reversed_rule(rename, ["a.3.w", "b.3.w"])
