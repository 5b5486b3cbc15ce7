"""Export as MindIR: one graph for all lengths, equal to the network, without compiled kernels."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from mindspore.train import serialization

from asrlib.bin import export
from asrlib.config.base import save_config
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.inference import export as exporter
from asrlib.ms.inference.acoustic import AcousticModel
from asrlib.ms.inference.mindir import load_mindir
from asrlib.ms.models import make_network
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def experiment(tmp_path, tiny, tokenizer):
    def make(*overrides):
        config = tiny(*overrides)
        save_config(config, tmp_path / "exp/config.yaml")
        tokenizer.save(tmp_path / "exp/tokens.txt")
        save_arrays(tmp_path / "exp/model.safetensors", network_arrays(make_network(config, len(tokenizer.tokens))))
        return tmp_path / "exp"

    return make


@pytest.mark.parametrize(
    "overrides",
    [(), ("model_conf.rnn_type=gru", "model_conf.rnn_norm=layer"), ("model_conf.rnn_type=rnn", "model_conf.bidirectional=false")],
    ids=["lstm", "gru with layer norm", "unidirectional rnn"],
)
def test_exported_graph(experiment, overrides, logged):
    """It equals the network for lengths and batch sizes that the export did not compare."""
    exp_dir = experiment(*overrides)
    export.main(["--exp_dir", str(exp_dir)])
    assert any("equal to the network within" in message and message.endswith("for 150 and 97 frames") for message in logged)
    path = exp_dir / "mindir/model.mindir"
    assert b".so" not in path.read_bytes(), "a compiled kernel of this machine"
    graph = nn.GraphCell(ms.load(str(path)))
    graph.set_inputs(Tensor(shape=(None, None, 21), dtype=ms.float32), Tensor(shape=(None,), dtype=ms.int32))
    model = AcousticModel.load(exp_dir)
    for lengths in ([40], [33, 8, 1]):
        feats = np.random.default_rng(0).normal(size=(len(lengths), lengths[0], 21)).astype(np.float32)
        inputs = Tensor(feats), Tensor(np.array(lengths, np.int32))
        for mine, theirs in zip(model.step(*inputs), graph(*inputs), strict=True):
            np.testing.assert_allclose(theirs.asnumpy(), mine.asnumpy(), atol=1e-5)


def test_weights_of_a_large_graph_lie_beside_it(experiment, monkeypatch, tmp_path):
    """MindSpore writes more than 1 GB to several files (Jasper has 1.3 GB); they are read from another folder as from the first one."""
    monkeypatch.setattr(serialization, "TOTAL_SAVE", 0)
    exp_dir = experiment()
    monkeypatch.chdir(tmp_path)
    export.main(["--exp_dir", exp_dir.name])
    assert {path.name for path in (exp_dir / "mindir").rglob("*")} == {"model.mindir", "model_variables", "data_0"}
    moved = (exp_dir / "mindir").rename(tmp_path / "a=b")
    feats, lengths = np.random.default_rng(0).normal(size=(1, 40, 21)).astype(np.float32), np.array([40], np.int32)
    expected, _ = AcousticModel.load(exp_dir).step(Tensor(feats), Tensor(lengths))
    found, _ = load_mindir(moved / "model.mindir")(feats, lengths)
    np.testing.assert_allclose(found, expected.asnumpy(), atol=1e-5)


@pytest.mark.parametrize("differences", [(0.0, 2e-5), (0.0, float("nan")), (float("nan"), 0.0)])
def test_a_graph_that_differs_is_refused(experiment, monkeypatch, differences):
    """An older export is kept."""
    exp_dir = experiment()
    (exp_dir / "mindir").mkdir()
    (exp_dir / "mindir/model.mindir").write_text("older")
    found = dict(zip(exporter.FRAMES, differences, strict=True))
    monkeypatch.setattr(exporter, "_difference", lambda step, graph, frames, dim: found[frames])
    with pytest.raises(UserError, match="mindir: the exported graph differs from the network by (2e-05|nan) of its largest output, more than 1e-05"):
        export.main(["--exp_dir", str(exp_dir)])
    assert (exp_dir / "mindir/model.mindir").read_text() == "older"


def test_no_model(tmp_path):
    with pytest.raises(UserError, match="model.safetensors is missing: run stage 3"):
        export.main(["--exp_dir", str(tmp_path)])
