"""Loading weights into networks: every array is checked, and a mismatch is never loaded."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from asrlib.ms.checkpoint.weights import assign_arrays, average, load_arrays, load_pretrained, network_arrays, require_complete
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError


@pytest.fixture
def network():
    dense = nn.Dense(3, 2, weight_init=Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), bias_init="ones")
    return nn.SequentialCell([dense])


def parameters(*named):
    return [Parameter(Tensor(array), name=name) for name, array in named]


def test_a_file_into_a_network(network, tmp_path):
    arrays = {name: array + 5 for name, array in network_arrays(network).items()}
    save_arrays(tmp_path / "a.safetensors", arrays)
    ms.save_checkpoint([{"name": name, "data": Tensor(array)} for name, array in arrays.items()], str(tmp_path / "a.ckpt"))
    for name in ("a.safetensors", "a.ckpt"):
        assign_arrays(list(network.get_parameters()), {n: np.zeros_like(a) for n, a in arrays.items()})
        report = load_pretrained(network, tmp_path / name)
        assert str(report) == "2 loaded, 0 reshaped, 0 missing, 0 unused, 0 mismatched"
        for key, array in network_arrays(network).items():
            np.testing.assert_array_equal(array, arrays[key])


def test_scalars_of_older_versions():
    """(1,) where () is expected, and the reverse; nothing else is reshaped."""
    mine = parameters(("beta1_power", np.float32(0)), ("step", np.zeros(1, np.int32)), ("weight", np.zeros((2, 3), np.float32)))
    report = assign_arrays(mine, {"beta1_power": np.full(1, 0.9, np.float32), "step": np.int32(7), "weight": np.ones((3, 2), np.float32)})
    assert report.reshaped == ["beta1_power", "step"] and report.loaded == ["beta1_power", "step"]
    assert mine[0].shape == () and mine[0].asnumpy() == np.float32(0.9)
    assert mine[1].shape == (1,) and mine[1].asnumpy() == [7]
    assert report.mismatched == ["weight: file (3, 2), model (2, 3)"] and not mine[2].asnumpy().any()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 3)), "0.weight: float64 in the file, float32 in the model"),
        (np.ones((2, 3), np.int32), "0.weight: int32 in the file, float32 in the model"),
        (np.full((2, 3), np.inf, np.float32), "0.weight: not finite"),
        (np.ones((1, 2, 3), np.float32), r"0.weight: file \(1, 2, 3\), model \(2, 3\)"),
        (None, "0.weight is missing"),
    ],
)
def test_what_does_not_fit_is_refused(network, tmp_path, logged, array, message):
    arrays = {"0.bias": np.zeros(2, np.float32), "other": np.zeros(4, np.float32)} | ({} if array is None else {"0.weight": array})
    save_arrays(tmp_path / "a.safetensors", arrays)
    before = network_arrays(network)["0.weight"]
    with pytest.raises(UserError, match=f"a.safetensors: not a checkpoint of this model .*first: {message}; check model_conf"):
        load_pretrained(network, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(network_arrays(network)["0.weight"], before)
    assert any(line.endswith("unused: other") for line in logged)


def test_half_precision_loses_nothing(network):
    weight = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float16)
    require_complete(assign_arrays(list(network.get_parameters()), {"0.weight": weight, "0.bias": np.zeros(2, np.float16)}), "a")
    np.testing.assert_array_equal(network_arrays(network)["0.weight"], weight.astype(np.float32))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.safetensors", None, "no such checkpoint"),
        ("none.ckpt", None, "no such checkpoint"),
        ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{}", "the file is cut off after 10 bytes"),
        ("other.safetensors", b"\x10\0\0", "not a checkpoint of PyTorch, safetensors or MindSpore"),
        ("cut.ckpt", b"\n \n\x03a.b", "damaged checkpoint"),
        ("weights.ckpt", b"\x80\x04.", "a torch checkpoint; expected safetensors or MindSpore's"),
    ],
)
def test_faulty_files(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: {message}"):
        load_arrays(tmp_path / name)


def test_average(tmp_path):
    for i, value in enumerate((1.0, 2.0, 6.0)):
        save_arrays(tmp_path / f"{i}.safetensors", {"a": np.full(3, value, np.float32)})
    mean = average([tmp_path / f"{i}.safetensors" for i in range(3)])
    np.testing.assert_array_equal(mean["a"], np.full(3, 3.0, np.float32))
    assert mean["a"].dtype == np.float32
