"""Conversion of whole experiments: bit-exact in both directions, equal outputs of all layers in both frameworks, errors for mismatches."""

import json
import os

import mindspore as ms
import numpy as np
import pytest
import torch

from asrlib.bin import compare_layers, convert
from asrlib.config.base import save_config
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.inference.outputs import layer_outputs as ms_outputs
from asrlib.ms.models import make_network
from asrlib.pt.models import make_network as make_twin
from asrlib.pt.outputs import layer_outputs as pt_outputs
from asrlib.utils.arrays import read_safetensors, save_arrays
from asrlib.utils.errors import UserError

BATCH = {"feats": np.random.default_rng(1).normal(size=(2, 30, 21)).astype(np.float32), "lengths": np.array([30, 17])}
VARIANTS = {
    "lstm": (),
    "gru with layer norm": ("model_conf.rnn_type=gru", "model_conf.rnn_norm=layer"),
    "unidirectional rnn": ("model_conf.rnn_type=rnn", "model_conf.bidirectional=false", "model_conf.lookahead_context=3"),
}


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def experiment(tmp_path, tiny, tokenizer):
    """experiment(overrides): a folder with the configuration, the tokens and random weights, none of them 0 or 1."""

    def make(overrides=()):
        config, rng = tiny(*overrides), np.random.default_rng(0)
        arrays = network_arrays(make_network(config, len(tokenizer.tokens)))
        for name, array in arrays.items():
            if name.startswith(("bn", "norms")):
                arrays[name] = rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
        save_config(config, tmp_path / "exp/config.yaml")
        tokenizer.save(tmp_path / "exp/tokens.txt")
        save_arrays(tmp_path / "exp/model.safetensors", arrays)
        return tmp_path / "exp"

    return make


@pytest.mark.parametrize("variant", VARIANTS)
def test_there_and_back(experiment, variant, logged):
    """The same bits after both ways; the same output of every layer, alone and in a padded batch, within the noise of float32."""
    exp_dir = experiment(VARIANTS[variant])
    convert.main(["--exp_dir", str(exp_dir)])
    convert.main(["--exp_dir", str(exp_dir), "--to", "ms"])
    before, after = read_safetensors(exp_dir / "model.safetensors"), read_safetensors(exp_dir / "ms/model.safetensors")
    assert before.keys() == after.keys() and all(before[name].tobytes() == after[name].tobytes() for name in before)
    for name in ("config.yaml", "tokens.txt"):
        assert (exp_dir / "pt" / name).read_text() == (exp_dir / "ms" / name).read_text() == (exp_dir / name).read_text()
    parameters = sum(array.size for name, array in before.items() if "moving" not in name)
    assert sum(f"{parameters} parameters, nothing left over" in message for message in logged) == 2

    mine, theirs = ms_outputs(exp_dir, BATCH), pt_outputs(exp_dir, BATCH)
    assert len(mine) == len(theirs) == 5 + (variant == "unidirectional rnn")
    for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        assert a.shape == b.shape and a.shape[:2] == (2, 15) and np.abs(a - b).mean() <= 5e-6 * np.abs(a).mean(), f"layer {i}"


def test_command_compares_on_recordings(experiment, dump, capsys):
    """Each framework in its own process."""
    exp_dir = experiment()
    convert.main(["--exp_dir", str(exp_dir)])
    compare_layers.main(["--exp_dir", str(exp_dir), "--wav_scp", str(dump / "valid/wav.scp"), "--num_utts", "2"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line[:1].isdigit() and len(line.split()) == 2]
    assert [int(i) for i, _ in rows] == [0, 1, 2, 3, 4] and all(0 < float(value) <= 5e-6 for _, value in rows)
    result = json.loads((exp_dir / "compare/result.json").read_text())
    assert result["tolerance"] == 5e-6 and len(result["layers"]) == 5 and (exp_dir / "compare/layers.png").stat().st_size > 10_000


def test_a_weight_that_differs_by_a_thousandth_is_found(experiment, tmp_path):
    exp_dir = experiment()
    convert.main(["--exp_dir", str(exp_dir)])
    arrays = read_safetensors(exp_dir / "pt/model.safetensors")
    arrays["rnns.1.weight_hh_l0"] *= np.float32(1.001)
    save_arrays(exp_dir / "pt/model.safetensors", arrays)
    for folder, outputs in (("ms", ms_outputs(exp_dir, BATCH)), ("pt", pt_outputs(exp_dir, BATCH))):
        (tmp_path / folder).mkdir()
        for i, output in enumerate(outputs):
            np.save(tmp_path / folder / f"out{i}.npy", output)
    with pytest.raises(UserError, match="layer [34] differs by .*, more than 5e-06: the conversion is not exact"):
        compare_layers.main(["--exp_dir", str(exp_dir), "--ms_dir", str(tmp_path / "ms"), "--pt_dir", str(tmp_path / "pt")])


def test_torch_files_come_back(experiment, tmp_path, tiny, tokenizer):
    exp_dir = experiment()
    torch.manual_seed(0)
    twin = make_twin(tiny(), len(tokenizer.tokens))
    wrapped = {f"model.{name}": tensor for name, tensor in twin.state_dict().items()}
    for state in ({"model": twin.state_dict(), "epoch": 3}, {"state_dict": wrapped, "pytorch-lightning_version": "2.0"}):
        torch.save(state, tmp_path / "twin.ckpt")
        words = ["--exp_dir", exp_dir, "--to", "ms", "--checkpoint", tmp_path / "twin.ckpt", "--labels", exp_dir / "tokens.txt"]
        convert.main([str(word) for word in [*words, "--out", tmp_path / "back"]])
    arrays = read_safetensors(tmp_path / "back/model.safetensors")
    np.testing.assert_array_equal(arrays["rnns.1.weight_ih_l0_reverse"], twin.rnns[1].weight_ih_l0_reverse.detach().numpy())
    np.testing.assert_array_equal(arrays["bn2.moving_variance"], twin.bn2.running_var.numpy())


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_code_in_a_torch_file_does_not_run(experiment, tmp_path):
    exp_dir = experiment()
    torch.save({"model": Malicious(tmp_path / "ran")}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="evil.pt: refused"):
        convert.main(["--exp_dir", str(exp_dir), "--to", "ms", "--checkpoint", str(tmp_path / "evil.pt")])
    assert not (tmp_path / "ran").exists() and not (exp_dir / "ms").exists()


def test_the_model_zoos_file_goes_to_another_order_of_labels(experiment, tmp_path):
    """The rows of the projection follow the token list; a list is needed, even in the folder of an experiment."""
    exp_dir = experiment()
    arrays = read_safetensors(exp_dir / "model.safetensors")
    names = {name: name.replace("rnns.", "RNN.lstms.").replace("weight_", "rnn.weight_").replace("bias_", "rnn.bias_") for name in arrays}
    zoo = {f"conv.{name}" if name.startswith(("conv", "bn")) else names[name].replace("fc.", "fc.module."): a for name, a in arrays.items()}
    ms.save_checkpoint([{"name": name, "data": ms.Tensor(array)} for name, array in zoo.items()], str(exp_dir / "zoo.ckpt"))
    words = ["--to", "ms", "--train_config", exp_dir / "config.yaml", "--checkpoint", exp_dir / "zoo.ckpt", "--tokens", tmp_path / "tokens.txt"]
    words += ["--out", tmp_path / "out"]
    (tmp_path / "tokens.txt").write_text("C\nA\n<space>\nB\n<blank>\n")
    with pytest.raises(UserError, match="zoo.ckpt: it has no list of its labels"):
        convert.main([str(word) for word in words])
    (tmp_path / "labels.json").write_text('["A", "B", "C", " ", "_"]')
    convert.main([str(word) for word in [*words, "--labels", tmp_path / "labels.json"]])
    found = read_safetensors(tmp_path / "out/model.safetensors")
    np.testing.assert_array_equal(found.pop("fc.weight"), arrays.pop("fc.weight")[[2, 0, 3, 1, 4]])
    assert found.keys() == arrays.keys() and all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_deepspeech_pytorchs_network_is_another_one(experiment, tmp_path):
    exp_dir = experiment()
    names = ("conv.seq_module.0.weight", "conv.seq_module.0.bias", "rnns.1.batch_norm.module.weight", "fc.0.module.1.weight")
    labels = ["_", "A", "B", "C", " "]
    torch.save({"state_dict": {name: torch.zeros(5, 8) for name in names}, "hyper_parameters": {"labels": labels}}, tmp_path / "ds.ckpt")
    with pytest.raises(UserError, match="ds.ckpt: a model of deepspeech.pytorch: .*hard tanh.* cannot be used"):
        convert.main(["--exp_dir", str(exp_dir), "--to", "ms", "--checkpoint", str(tmp_path / "ds.ckpt")])


FAULTS = {
    "missing": (lambda a: a.pop("fc.weight"), "fc.weight is not in the file"),
    "renamed": (lambda a: a.update({"fc.w": a.pop("fc.weight")}), "fc.w is in the file and not in the model; fc.weight is not in the file"),
    "transposed": (lambda a: a.update({"fc.weight": a["fc.weight"].T}), r"fc.weight has shape \(8, 5\)"),
    "double precision": (lambda a: a.update({"fc.weight": a["fc.weight"].astype(np.float64)}), "fc.weight is float64, float32 is expected"),
    "nan": (lambda a: a.update({"fc.weight": a["fc.weight"] * np.float32("nan")}), "fc.weight holds values that are not finite"),
    "a counter that is no layer's": (lambda a: a.update({"fc.num_batches_tracked": np.zeros((), np.int64)}), "fc.num_batches_tracked is in the file"),
}


@pytest.mark.parametrize("to", ["pt", "ms"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_weights_are_refused(experiment, fault, to):
    exp_dir = experiment()
    source = exp_dir / "model.safetensors"
    if to == "ms":
        convert.main(["--exp_dir", str(exp_dir)])
        source = exp_dir / "pt/model.safetensors"
    arrays = read_safetensors(source)
    FAULTS[fault][0](arrays)
    save_arrays(source, arrays)
    with pytest.raises(UserError, match=f"not a checkpoint of this model: .*{FAULTS[fault][1]}"):
        convert.main(["--exp_dir", str(exp_dir), "--to", to, "--out", str(exp_dir / "out")])
    assert not (exp_dir / "out").exists()


@pytest.mark.parametrize(
    "other", ["model_conf.hidden_size=16", "model_conf.hidden_layers=1", "model_conf.rnn_type=gru", "model_conf.bidirectional=false"]
)
def test_weights_of_another_size_are_refused(experiment, tiny, other):
    exp_dir = experiment()
    save_config(tiny(other), exp_dir / "config.yaml")
    with pytest.raises(UserError, match="model.safetensors: not a checkpoint of this model"):
        convert.main(["--exp_dir", str(exp_dir)])


def test_what_is_missing_is_named(experiment):
    exp_dir = experiment()
    with pytest.raises(UserError, match="pt/model.safetensors: no such checkpoint"):
        convert.main(["--exp_dir", str(exp_dir), "--to", "ms"])
    with pytest.raises(UserError, match="pt/model.safetensors: no such checkpoint"):
        pt_outputs(exp_dir, BATCH)
    (exp_dir / "tokens.txt").unlink()
    with pytest.raises(UserError, match="tokens.txt: no such token list"):
        convert.main(["--exp_dir", str(exp_dir)])
