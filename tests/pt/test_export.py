"""Export as ONNX: the graph in onnxruntime gives the network's outputs, for any length and batch."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from asrlib.bin import export
from asrlib.config.base import save_config
from asrlib.config.families import load_train_config
from asrlib.pt import export as exporter
from asrlib.pt.acoustic import load_twin, read_twin
from asrlib.pt.models import make_network
from asrlib.text.tokenizers import CharTokenizer
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError

DEEPSPEECH2 = "features.sample_rate=2000 model_conf.conv_channels=2 model_conf.hidden_size=8 model_conf.hidden_layers=2"
SIZES = "repeat=2 blocks=2 filters=[6,8] kernels=[3,5] dropouts=[0,0] prologue_filters=5 prologue_kernel=5 epilogue_filters=[7,9] epilogue_kernel=5"
JASPER = " ".join(["model=jasper features.num_mels=10", *(f"model_conf.{word}" for word in SIZES.split())])
KINDS = {
    "lstm": DEEPSPEECH2,
    "gru with layer norm": f"{DEEPSPEECH2} model_conf.rnn_type=gru model_conf.rnn_norm=layer",
    "unidirectional rnn": f"{DEEPSPEECH2} model_conf.rnn_type=rnn model_conf.bidirectional=false",
    "jasper": JASPER,
}


def experiment(folder, words):
    """An experiment with a converted model of random weights."""
    torch.manual_seed(0)
    config, tokenizer = load_train_config(None, words.split()), CharTokenizer(["A", "B", "C", "<space>", "<blank>"])
    save_config(config, folder / "config.yaml")
    tokenizer.save(folder / "tokens.txt")
    state = make_network(config, len(tokenizer.tokens)).state_dict()
    arrays = {
        name: (tensor.numpy() if tensor.dtype == torch.int64 else np.abs(tensor.numpy()) + 0.1)
        for name, tensor in state.items()
        if "running_var" in name
    }
    rng = np.random.default_rng(0)
    for name, tensor in state.items():
        noise = 0.1 * rng.standard_normal(tensor.shape).astype(np.float32) if tensor.is_floating_point() and name not in arrays else 0
        arrays.setdefault(name, np.asarray(tensor.numpy() + noise, tensor.numpy().dtype))
    save_arrays(folder / "pt/model.safetensors", arrays)
    return config


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_gives_the_outputs_of_the_network(tmp_path, kind, logged):
    config = experiment(tmp_path, KINDS[kind])
    export.main(["--exp_dir", str(tmp_path), "--format", "onnx"])
    assert any("equal to the network within" in line for line in logged)
    path = tmp_path / "onnx/model.onnx"
    onnx.checker.check_model(str(path))
    assert b"/tmp/" not in path.read_bytes() and b"/asrlib/" not in path.read_bytes()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    run = load_twin(tmp_path / "pt/model.safetensors", config, 5)
    for lengths in ([40], [61, 33, 8, 1]):
        feats = np.random.default_rng(1).normal(size=(len(lengths), lengths[0], config.features.dim)).astype(np.float32)
        scores, counts = run(feats, np.array(lengths, np.int32))
        theirs, their_counts = session.run(None, {"feats": feats, "lengths": np.array(lengths)})
        assert counts.tolist() == their_counts.tolist() and scores.shape == theirs.shape
        for row, count in enumerate(counts):
            np.testing.assert_allclose(theirs[row, :count], scores[row, :count], atol=1e-4)
        assert np.ptp(scores) > 0.1


def test_a_graph_that_differs_is_refused(tmp_path, monkeypatch):
    experiment(tmp_path, DEEPSPEECH2)
    monkeypatch.setattr(exporter, "_recurrent", lambda rnn, x, lengths, steps: x.new_zeros(*x.shape[:2], rnn.hidden_size))
    with pytest.raises(UserError, match="the exported graph differs from the network by"):
        exporter.export(tmp_path, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_no_twin(tmp_path):
    with pytest.raises(UserError, match="model.safetensors is missing: convert the model first"):
        exporter.export(tmp_path, tmp_path / "onnx")


def test_the_twin_is_in_evaluation_mode(tmp_path):
    config = experiment(tmp_path, DEEPSPEECH2)
    assert not read_twin(tmp_path / "pt/model.safetensors", config, 5).network.training
