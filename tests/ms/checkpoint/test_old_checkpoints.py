"""Checkpoints of every version of the model zoo, under our names."""

import re

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor

from asrlib.config.families import load_train_config
from asrlib.config.models.deepspeech2 import DeepSpeech2Config
from asrlib.ms.checkpoint.convert import from_other
from asrlib.ms.checkpoint.old_checkpoints import from_zoo, is_zoo_checkpoint
from asrlib.ms.checkpoint.weights import load_arrays, network_arrays
from asrlib.ms.models.deepspeech2 import DeepSpeech2
from asrlib.utils.arrays import read_safetensors
from asrlib.utils.errors import UserError

CONFIG = DeepSpeech2Config(conv_channels=8, hidden_size=16, hidden_layers=2)


@pytest.fixture(scope="module")
def ours():
    """Arrays of a small network, all different from those of a new network."""
    return network_arrays(DeepSpeech2(CONFIG, 161, 29, seed=5))


def recent(ours):
    """Names of the zoo on MindSpore 1.6 and later."""
    zoo = {}
    for name, array in ours.items():
        first, _, rest = name.partition(".")
        if first == "rnns":
            layer, last = rest.split(".")
            zoo[f"RNN.lstms.{layer}.rnn.{last}"] = array
        elif first == "fc":
            zoo["fc.module.weight"] = array
        else:
            zoo[f"conv.{name}"] = array
    return zoo


def packed(ours, biases):
    """One weight per layer, as MindSpore up to 1.5 saved it: cuDNN's buffer with two biases, or that of MindSpore's CPU operator with one."""
    zoo = {name: array for name, array in recent(ours).items() if not name.startswith("RNN.")}
    for layer in range(CONFIG.hidden_layers):
        part = {name.split(".")[-1]: array.reshape(-1) for name, array in ours.items() if name.startswith(f"rnns.{layer}.")}
        names = "weight_ih_l0 weight_hh_l0 weight_ih_l0_reverse weight_hh_l0_reverse bias_ih_l0 bias_hh_l0 bias_ih_l0_reverse bias_hh_l0_reverse"
        if biases == 1:
            part["b"], part["b_reverse"] = part["bias_ih_l0"] + part["bias_hh_l0"], part["bias_ih_l0_reverse"] + part["bias_hh_l0_reverse"]
            names = "weight_ih_l0 weight_ih_l0_reverse weight_hh_l0 weight_hh_l0_reverse b b_reverse"
        zoo[f"RNN.weight{layer}"] = np.concatenate([part[name] for name in names.split()]).reshape(-1, 1, 1)
    return zoo


def numbered(ours):
    order = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4}  # activations lie between
    return {
        f"conv.module_list.{order[name.split('.')[1]]}.{name.split('.')[2]}" if name.startswith("conv.") else name.replace("RNN.", "rnn."): array
        for name, array in recent(ours).items()
    }


def optimizer_states(zoo):
    states = {f"{moment}.{name}": np.zeros_like(array) for moment in ("moment1", "moment2") for name, array in zoo.items()}
    return zoo | states | {"beta1_power": np.zeros(1, np.float32), "beta2_power": np.zeros((), np.float32), "learning_rate": np.zeros((), np.float32)}


def save(zoo, path):
    ms.save_checkpoint([{"name": name, "data": Tensor(array)} for name, array in zoo.items()], str(path))
    return path


def converted(path):
    """The arrays that a conversion of the checkpoint writes."""
    sizes = [f"model_conf.{name}={value}" for name, value in (("conv_channels", 8), ("hidden_size", 16), ("hidden_layers", 2))]
    from_other(load_train_config(None, sizes), 29, load_arrays(path), path, path.with_suffix(".safetensors"))
    return read_safetensors(path.with_suffix(".safetensors"))


VARIANTS = {
    "recent": recent,
    "numbered": numbered,
    "wrapped": lambda ours: {f"acoustic_model.{name}": array for name, array in recent(ours).items()},
    "packed_gpu": lambda ours: packed(ours, 2),
    "packed_old_names": lambda ours: {re.sub(r"RNN.weight(\d)", r"rnn.lstms.\1.weight", name): array for name, array in packed(ours, 2).items()},
    "packed_cpu": lambda ours: packed(ours, 1),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_age_loads_whole(ours, variant, tmp_path):
    zoo = optimizer_states(VARIANTS[variant](ours))
    loaded = converted(save(zoo, tmp_path / "old.ckpt"))
    assert loaded.keys() == ours.keys()
    if variant == "packed_cpu":  # one bias: the sum of the two
        for name in [n for n in ours if "bias_ih" in n]:
            other = name.replace("bias_ih", "bias_hh")
            np.testing.assert_allclose(loaded.pop(name) + loaded.pop(other), ours[name] + ours[other], rtol=1e-6)
    for name, array in loaded.items():
        np.testing.assert_array_equal(array, ours[name], err_msg=name)


def test_weights_that_are_not_there_are_refused(ours, tmp_path):
    zoo = recent(ours)
    del zoo["RNN.lstms.1.rnn.bias_hh_l0"]
    path = save(zoo, tmp_path / "old.ckpt")
    with pytest.raises(UserError, match="rnns.1.bias_hh_l0 is not in the file"):
        converted(path)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_packed_weight_means_what_the_operator_of_old_computed(bidirectional):
    """MindSpore's LSTM operator with the packed weight of MindSpore up to 1.5 equals PyTorch's LSTM with the unpacked weights."""
    twin, ways = torch.nn.LSTM(41, 7, bidirectional=bidirectional), 1 + bidirectional
    shapes = {f"rnns.3.{name}": tuple(tensor.shape) for name, tensor in twin.state_dict().items()}
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(ways * 28 * (41 + 7 + 1), 1, 1)).astype(np.float32)
    arrays, _, _ = from_zoo({"RNN.lstms.3.weight0": weight}, shapes, "old.ckpt")
    twin.load_state_dict({name.removeprefix("rnns.3."): torch.from_numpy(array) for name, array in arrays.items()})
    x, state = rng.normal(size=(5, 2, 41)).astype(np.float32), np.zeros((ways, 2, 7), np.float32)
    operator = ms.ops.LSTM(41, 7, 1, True, bidirectional, 0.0)
    theirs = operator(Tensor(x), Tensor(state), Tensor(state), Tensor(weight))[0].asnumpy()
    np.testing.assert_allclose(twin(torch.from_numpy(x))[0].detach().numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("biases", [1, 2])
def test_full_size_packed_weight(biases):
    """The published model: 1312 inputs, 1024 units; one or two biases per direction."""
    with torch.device("meta"):
        shapes = {f"rnns.0.{name}": tuple(tensor.shape) for name, tensor in torch.nn.LSTM(1312, 1024, bidirectional=True).state_dict().items()}
    arrays, origin, aside = from_zoo({"RNN.weight0": np.zeros((2 * 4 * 1024 * (1312 + 1024 + biases), 1, 1), np.float32)}, shapes, "old.ckpt")
    assert {name: array.shape for name, array in arrays.items()} == shapes and not aside
    assert set(origin.values()) == {"RNN.weight0"}


def test_a_packed_weight_of_another_size_is_refused(ours, tmp_path):
    zoo = packed(ours, 1)
    zoo["RNN.weight1"] = zoo["RNN.weight0"]
    path = save(zoo, tmp_path / "old.ckpt")
    with pytest.raises(UserError, match="old.ckpt: RNN.weight1: .* values; an LSTM of the model has 4096 and one or two biases of 64 per direction"):
        converted(path)


def test_two_arrays_for_one_parameter_are_refused(ours, tmp_path):
    zoo = recent(ours)
    zoo["conv.module_list.0.weight"] = zoo["conv.conv1.weight"]
    assert converted(save(zoo, tmp_path / "twice.ckpt")).keys() == ours.keys()
    zoo["conv.module_list.0.weight"] = zoo["conv.conv1.weight"] + 1
    with pytest.raises(UserError, match="conv.conv1.weight and conv.module_list.0.weight are both conv1.weight and differ"):
        converted(save(zoo, tmp_path / "differ.ckpt"))


def test_a_deeper_model_is_refused(ours, tmp_path):
    zoo = packed(ours, 2) | {"RNN.weight2": np.zeros(5, np.float32)}
    with pytest.raises(UserError, match="RNN.weight2 is in the file and not in the model"):
        converted(save(zoo, tmp_path / "old.ckpt"))


def test_names(ours):
    assert is_zoo_checkpoint(recent(ours)) and is_zoo_checkpoint(packed(ours, 1)) and not is_zoo_checkpoint(ours)
    kept, _, aside = from_zoo({"something.else": np.zeros(1, np.float32), "global_step": np.zeros(1, np.float32)}, {}, "old.ckpt")
    assert list(kept) == ["something.else"] and aside == ["global_step"], "unknown names stay, to be reported as unused"
