"""Jasper: its size, masks, agreement with the PyTorch twin in outputs and gradients, export."""

import numpy as np
import pytest

from asrlib.config.families import load_train_config

import mindspore as ms  # isort: skip
import torch  # isort: skip
from mindspore import nn, ops  # isort: skip

from asrlib.config.base import save_config
from asrlib.convert.rules import pytorch_name, to_pytorch
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.inference.export import export
from asrlib.ms.models import make_network
from asrlib.pt.models import make_network as make_twin
from asrlib.pt.weights import assign, shapes
from asrlib.text.tokenizers import CharTokenizer
from asrlib.utils.arrays import save_arrays

SMALL = (
    "repeat=2 blocks=2 filters=[6,8] kernels=[3,5] dropouts=[0,0] prologue_filters=5 prologue_kernel=5 prologue_dropout=0 "
    "epilogue_filters=[7,9] epilogue_kernel=5 epilogue_dropout=0"
)
VOCAB = 6


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "jasper.yaml"
    path.write_text("model: jasper\nfeatures: {num_mels: 10}\n")
    return load_train_config(path, [f"model_conf.{word}" for word in SMALL.split()])


@pytest.fixture
def pair(config):
    """The network and its twin with the same random weights and moving statistics."""
    ms.set_context(mode=ms.GRAPH_MODE)
    network = make_network(config, VOCAB)
    rng = np.random.default_rng(0)
    for p in network.get_parameters():
        if "moving" in p.name:
            p.set_data(ms.Tensor(rng.uniform(0.5, 1.5, p.shape).astype(np.float32)))
    twin = make_twin(config, VOCAB)
    return network, assign(twin, to_pytorch(network_arrays(network), shapes(twin), "here"), "here")


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    feats, lengths = rng.normal(size=(3, 41, 10)).astype(np.float32), np.array([41, 24, 33], np.int32)
    for row, length in enumerate(lengths):
        feats[row, length:] = 9  # padding that must not be seen
    return feats, lengths


class Layers(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, feats, lengths):
        return self.network.layer_outputs(feats, lengths)


def test_size_of_the_published_model(root):
    network = make_twin(load_train_config(root / "conf/jasper.yaml"), 29)
    assert sum(p.numel() for p in network.parameters()) == 332_632_349


def test_layers_equal_the_twins(pair, batch):
    network, twin = pair
    mine = [x.asnumpy() for x in Layers(network.set_train(False))(*map(ms.Tensor, batch))]
    with torch.no_grad():
        theirs = [x.numpy() for x in twin.layer_outputs(*map(torch.from_numpy, batch))]
    assert len(mine) == len(theirs) == 8
    for a, b in zip(mine, theirs, strict=True):
        assert np.abs(a - b).mean() <= 5e-6 * np.abs(a).mean()


def test_a_batch_gives_each_utterance_what_it_gives_alone(pair, batch):
    network, _ = pair
    network.set_train(False)
    logits, lengths = (x.asnumpy() for x in network(*map(ms.Tensor, batch)))
    for row, length in enumerate(batch[1]):
        alone = network(ms.Tensor(batch[0][row : row + 1, :length]), ms.Tensor(batch[1][row : row + 1]))[0].asnumpy()
        np.testing.assert_allclose(logits[: lengths[row], row], alone[:, 0], atol=1e-5)


def test_gradients_equal_autograds(compiled, pair, batch):
    """In training, where normalisation is by the statistics of the valid frames, with compiled kernels and without."""
    network, twin = pair
    network.set_train(True)
    twin.train()

    class Loss(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.network = network

        def construct(self, feats, lengths):
            logits, _ = self.network(feats, lengths)
            return (logits * logits).mean()

    weights = ms.ParameterTuple(network.trainable_params())
    _, grads = ops.value_and_grad(Loss(), None, weights)(*map(ms.Tensor, batch))
    logits, _ = twin(*map(torch.from_numpy, batch))
    (logits * logits).mean().backward()
    expected = {name: p.grad.numpy() for name, p in twin.named_parameters()}
    for weight, grad in zip(weights, grads, strict=True):
        wanted = expected[pytorch_name(weight.name)]
        mine = grad.asnumpy().reshape(wanted.shape[::-1]).T if weight.name.endswith(".kernel") else grad.asnumpy()
        assert np.abs(mine - wanted).max() <= 1e-4 * np.abs(wanted).max() + 1e-9, weight.name
    for name, buffer in twin.named_buffers():
        if "running" in name:
            mine = next(p for p in network.get_parameters() if pytorch_name(p.name) == name)
            np.testing.assert_allclose(mine.asnumpy(), buffer.numpy(), rtol=1e-4, atol=1e-6)


def test_export_with_a_free_time_axis(config, pair, tmp_path):
    network, _ = pair
    save_config(config, tmp_path / "config.yaml")
    CharTokenizer(["A", "B", "C", "D", "<space>", "<blank>"]).save(tmp_path / "tokens.txt")
    save_arrays(tmp_path / "model.safetensors", network_arrays(network))
    assert export(tmp_path, tmp_path / "epochs=8 ü" / "mindir") <= 1e-5
