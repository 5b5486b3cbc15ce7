"""The network: its size, its weights, and padding that has no influence."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from asrlib.bin import summary
from asrlib.ms.models import make_network

VOCAB = 5


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


def test_published_number_of_parameters(root, capsys):
    """The full model, counted by the command; the published log says 86608096 (330.38 MiB)."""
    summary.main(["--train_config", str(root / "conf" / "deepspeech2.yaml")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "total parameters: 86608096"
    assert lines[-2] == "size in float32: 330.38 MiB"
    sizes = [int(line.split()[-1].replace(",", "")) for line in lines[:-2]]
    assert sum(sizes) == 86_608_096 and lines[0].split()[0] == "conv1.weight" and lines[-3].split()[:3] == ["fc.weight", "(29,", "1024)"]


def test_summary_with_overrides(root, capsys):
    arguments = ["--train_config", str(root / "conf" / "deepspeech2.yaml"), "--vocab-size", "5", "--train-args"]
    overrides = "model_conf.conv_channels=2 model_conf.hidden_size=8 model_conf.hidden_layers=2 model_conf.rnn_norm=layer features.sample_rate=2000"
    summary.main([*arguments, overrides])
    convolutions = 2 * 41 * 11 + 4 + 4 * 21 * 11 + 4
    recurrent = 2 * (32 * (12 + 8) + 64) + 2 * (32 * (8 + 8) + 64)
    assert capsys.readouterr().out.splitlines()[-1] == f"total parameters: {convolutions + recurrent + 16 + 5 * 8}"


def test_weights_come_from_the_seed(tiny):
    def arrays(seed):
        return {p.name: p.asnumpy() for p in make_network(tiny(f"trainer.seed={seed}"), VOCAB).get_parameters()}

    first, again, other = arrays(1), arrays(1), arrays(2)
    assert first.keys() == other.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        assert name.startswith("bn") or (array != other[name]).all()


@pytest.mark.parametrize("init", ["kaiming", "published"])
def test_spread_of_the_first_weights(tiny, init):
    network = make_network(tiny(f"model_conf.init={init}", "model_conf.conv_channels=16"), VOCAB)
    area = 21 * 11
    expected = 1 / np.sqrt(3 * area * 16) if init == "kaiming" else np.sqrt(2 / (area * 16))
    assert network.conv2.weight.asnumpy().std() == pytest.approx(expected, rel=0.02)
    bound = np.sqrt(1 / 8) if init == "kaiming" else 1 / 8
    assert 0.9 * bound < np.abs(network.fc.weight.asnumpy()).max() <= bound


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model_conf.rnn_type=gru", "model_conf.rnn_norm=layer"),
        ("model_conf.rnn_type=rnn", "model_conf.bidirectional=false", "model_conf.lookahead_context=3"),
    ],
    ids=["lstm", "gru with layer norm", "unidirectional rnn"],
)
def test_padding_has_no_influence(tiny, overrides):
    """Every utterance has the same outputs alone and in a padded batch with random padding."""
    config = tiny(*overrides)
    network = make_network(config, VOCAB).set_train(False)
    rng = np.random.default_rng(0)
    network.bn1.moving_mean.set_data(Tensor(rng.normal(size=2).astype(np.float32)))  # otherwise zeros stay zeros after normalisation
    network.bn2.beta.set_data(Tensor(rng.normal(size=2).astype(np.float32)))
    lengths = np.array([9, 14, 9, 1], np.int32)
    feats = rng.normal(size=(4, 16, config.features.dim)).astype(np.float32)
    logits, out_lengths = (output.asnumpy() for output in network(Tensor(feats), Tensor(lengths)))
    assert logits.shape == (8, 4, VOCAB) and out_lengths.tolist() == [5, 7, 5, 1] and out_lengths.dtype == np.int32
    for row in (0, 3):
        alone, _ = network(Tensor(feats[row : row + 1, : lengths[row]]), Tensor(lengths[row : row + 1]))
        np.testing.assert_allclose(logits[: out_lengths[row], row], alone.asnumpy()[:, 0], atol=2e-6)
    assert np.abs(logits[:5, 0] - logits[:5, 2]).max() > 1e-3  # of two utterances that differ


def test_unidirectional_network_looks_ahead_no_further_than_its_context(tiny):
    """An output depends on `context` more output frames, and on those that the convolutions see: 5 and 5 * 2 frames."""
    network = make_network(tiny("model_conf.bidirectional=false", "model_conf.lookahead_context=3"), VOCAB).set_train(False)
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(1, 64, 21)).astype(np.float32)
    lengths = Tensor(np.array([64], np.int32))
    before = network(Tensor(feats), lengths)[0].asnumpy()
    changed = feats.copy()
    changed[0, 50] += 10
    difference = np.abs(network(Tensor(changed), lengths)[0].asnumpy() - before).max((1, 2))
    convolved = -(-(50 - 5) // 2) - 5  # the first output frame that the convolutions reach
    assert convolved - 3 <= np.flatnonzero(difference)[0] < convolved
