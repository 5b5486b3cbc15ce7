"""The compiled training step: gradients of the PyTorch twin, accumulation, clipping, and skipped updates."""

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops

from asrlib.ms.models import make_network
from asrlib.ms.objectives.ctc import CtcLoss, EvalStep
from asrlib.ms.training import loss_scale
from asrlib.ms.training.optim import make_optimizer
from asrlib.ms.training.run import set_precision
from asrlib.ms.training.step import TrainStep
from asrlib.pt.models import deepspeech2 as twin

VOCAB, BLANK, FRAMES = 5, 4, 20
PLAIN = ("optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0")
TO_TORCH = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


class Restore(nn.Cell):
    """Sets the parameters of a network."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.parameters = ms.ParameterTuple(network.get_parameters())

    def construct(self, *values):
        done = ()
        for parameter, value in zip(self.parameters, values):  # noqa: B905
            done += (ops.assign(parameter, value),)
        return done


class Bench:
    """A network with its step, and its initial weights for resets."""

    def __init__(self, config):
        self.config, self.network = config, make_network(config, VOCAB)
        set_precision(self.network, config)
        self.optimizer = make_optimizer(self.network, config.optim)
        self.step = TrainStep(self.network, CtcLoss(self.network, BLANK), self.optimizer, config.optim, config.trainer.precision == "fp16")
        self.step.loss_scale = loss_scale.start(config.trainer)
        self.first, self.restore = self.arrays(), Restore(self.network)

    def arrays(self):
        """Weights, moving statistics, moments."""
        return {p.name: p.asnumpy().copy() for cell in (self.network, self.optimizer) for p in cell.get_parameters()}

    def reset(self):
        """Sets the network's parameters in a graph: set_data does not reach those in a branch of a compiled graph."""
        self.restore(*(Tensor(self.first[p.name]) for p in self.restore.parameters))

    def __call__(self, batch, rate=1.0, update=True):
        """(loss, norm, finite) of one batch."""
        share = np.array(1 / self.config.optim.accumulate, np.float32)
        weights, seed = np.full(len(batch[0]), 1 / len(batch[0]), np.float32), np.array(1, np.int32)
        loss, norm, finite = self.step(rate, update, *batch, weights, share, seed)
        return float(loss[0]), norm, finite

    def change(self, *batches):
        """The gradient: what one update of gradient descent at rate 1 on these batches subtracts from the initial weights."""
        self.reset()
        for number, batch in enumerate(batches, 1):
            self(batch, 1.0, number == len(batches))
        after = self.arrays()
        return {p.name: self.first[p.name] - after[p.name] for p in self.optimizer.weights}


def draw(seed, batch=2, dim=21, frames=FRAMES):
    """feats, feat_lengths, labels, label_lengths"""
    rng = np.random.default_rng(seed)
    feats = rng.normal(size=(batch, frames, dim)).astype(np.float32)
    lengths = np.array([frames, *rng.integers(frames - 8, frames, batch - 1)], np.int32)
    labels = np.array([[0, 1, 2], [3, 3, 0]] * (batch // 2), np.int32)
    return feats, lengths, labels, np.array([3, 2] * (batch // 2), np.int32)


def joined(*batches):
    return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))


def assert_same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, array in one.items():
        if tolerance:
            np.testing.assert_allclose(array, other[name], **tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(array, other[name], err_msg=name)


def norm_of(gradients):
    return np.sqrt(sum(np.sum(gradient.astype(np.float64) ** 2) for gradient in gradients.values()))


@pytest.fixture(scope="module")
def plain(tiny):
    return Bench(tiny(*PLAIN))


@pytest.fixture(scope="module")
def accumulating(tiny):
    return Bench(tiny(*PLAIN, "optim.accumulate=2"))


class WithoutPadding(torch.nn.Module):
    """Batch normalisation of x (B, C, F, T) over the first frames[b] of T; 0 after them."""

    def __init__(self, norm, frames):
        super().__init__()
        self.norm, self.frames = norm, frames

    def forward(self, x):
        valid = (torch.arange(x.shape[3]) < self.frames[:, None])[:, None].expand(-1, x.shape[2], -1)
        rows = x.permute(0, 2, 3, 1)
        y = torch.zeros_like(rows)
        norm = self.norm
        y[valid] = torch.nn.functional.batch_norm(rows[valid], norm.running_mean, norm.running_var, norm.weight, norm.bias, training=True)
        return y.permute(0, 3, 1, 2)


def by_twin(bench, batch):
    """Loss, gradients and moving statistics in PyTorch, under our names."""
    config = bench.config
    model = twin.DeepSpeech2(config.model_conf, config.features.dim, VOCAB).train()
    names = {p.name: ".".join(TO_TORCH.get(part, part) for part in p.name.split(".")) for p in bench.network.get_parameters()}
    missing = model.load_state_dict({names[name]: torch.tensor(bench.first[name]) for name in names}, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys) and not missing.unexpected_keys
    feats, lengths, labels, label_lengths = map(torch.tensor, batch)
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    model.bn1, model.bn2 = (WithoutPadding(norm, (lengths - 1) // 2 + 1) for norm in (model.bn1, model.bn2))
    logits, out_lengths = model(feats, lengths)
    loss = torch.nn.functional.ctc_loss(logits.log_softmax(-1), labels, out_lengths, label_lengths, BLANK, reduction="none").mean()
    loss.backward()
    gradients = {name: parameters[theirs].grad.numpy() for name, theirs in names.items() if theirs in parameters}
    return loss.item(), gradients, {name: buffers[theirs].numpy() for name, theirs in names.items() if theirs in buffers}


def assert_gradients_of_twin(bench):
    batch = draw(0, 4, bench.config.features.dim)
    loss, gradients, statistics = by_twin(bench, batch)
    ours = bench.change(batch)
    assert ours.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert np.linalg.norm(ours[name] - gradient) <= 1e-4 * np.linalg.norm(gradient) + 1e-7, name
    for name, statistic in statistics.items():
        if "moving" in name:
            np.testing.assert_allclose(bench.arrays()[name], statistic, rtol=1e-4, atol=1e-6)
    bench.reset()
    assert bench(batch)[0] == pytest.approx(loss, rel=1e-5)


def test_gradients_of_the_twin(plain):
    assert_gradients_of_twin(plain)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model_conf.rnn_type=gru", "model_conf.rnn_norm=layer"),
        ("model_conf.rnn_type=rnn", "model_conf.bidirectional=false", "model_conf.lookahead_context=3", "model_conf.init=published"),
    ],
    ids=["gru with layer norm", "unidirectional rnn"],
)
def test_gradients_of_other_twins(tiny, overrides):
    assert_gradients_of_twin(Bench(tiny(*PLAIN, *overrides)))


def test_update_of_two_batches_is_the_mean_of_their_gradients(plain, accumulating):
    """Both updates: the sums are cleared between them."""
    first, second = draw(1), draw(2)
    expected = {name: (a + b) / 2 for (name, a), b in zip(plain.change(first).items(), plain.change(second).values(), strict=True)}
    for order in ((first, second), (second, first)):
        assert_same(accumulating.change(*order), expected, atol=2e-6)


def test_accumulation_equals_the_large_batch(plain, accumulating):
    """With batch normalisation that holds for batches of equal statistics: here the same utterances in another order."""
    batch = draw(3)
    turned = tuple(array[::-1].copy() for array in batch)
    assert_same(accumulating.change(batch, turned), plain.change(joined(batch, turned)), atol=2e-6)


def test_weights_wait_for_the_update(plain, accumulating):
    accumulating.reset()
    loss, norm, finite = accumulating(draw(4), update=False)
    after = accumulating.arrays()
    for p in accumulating.optimizer.weights:
        np.testing.assert_array_equal(after[p.name], accumulating.first[p.name])
    assert norm == 0 and finite
    plain.reset()
    assert loss == pytest.approx(plain(draw(4))[0], rel=1e-5)
    accumulating(draw(4))


def test_clipping(plain, tiny):
    """The returned norm is the one before clipping; the update has the direction of the gradient and the maximum norm."""
    batch = draw(6)
    gradient = plain.change(batch)
    full = norm_of(gradient)
    for limit in (0.3 * full, 2 * full):
        bench = Bench(tiny(*PLAIN, f"optim.grad_clip={limit}"))
        change = bench.change(batch)
        assert_same(change, {name: array * min(1, limit / full) for name, array in gradient.items()}, atol=2e-6)
        bench.reset()
        assert bench(batch)[1] == pytest.approx(full, rel=1e-4)


def test_sums_and_clipping(compiled, plain, tiny):
    """With compiled kernels and without: the second update starts a new sum; gradients are clipped to half of their norm."""
    first, second = draw(1), draw(2)
    gradient = {name: (a + b) / 2 for (name, a), b in zip(plain.change(first).items(), plain.change(second).values(), strict=True)}
    bench = Bench(tiny(*PLAIN, "optim.accumulate=2", f"optim.grad_clip={0.5 * norm_of(gradient)}"))
    for order in ((first, second), (second, first)):
        assert_same(bench.change(*order), {name: 0.5 * array for name, array in gradient.items()}, atol=2e-6)


@pytest.mark.parametrize("rate", [0.0, 1e-2, 1.0])
def test_rate_is_that_of_the_call(plain, rate):
    gradient = plain.change(draw(7))
    plain.reset()
    plain(draw(7), rate)
    after = plain.arrays()
    assert_same({name: plain.first[name] - after[name] for name in gradient}, {name: rate * array for name, array in gradient.items()}, atol=1e-6)


ADAM = ("optim.name=adam", "optim.weight_decay=0.1")


def with_infinite_loss(batch):
    feats, lengths, labels, label_lengths = (array.copy() for array in batch)
    lengths[1], labels[1], label_lengths[1] = 7, [1, 1, 1], 3  # four frames of output, five needed
    return feats, lengths, labels, label_lengths


def with_value(value):
    def change(batch):
        batch[0][0, 3, 4] = value
        return batch

    return change


@pytest.mark.parametrize("overrides", [ADAM, (*ADAM, "optim.grad_clip=0.5")], ids=["no norm", "norm"])
def test_an_update_that_is_not_finite_is_skipped(tiny, overrides):
    """Weights, moments, Adam's powers and the moving statistics, which the forward pass writes, are unchanged; later updates are unaffected."""
    bench, other = Bench(tiny(*overrides)), Bench(tiny(*overrides))
    for seed in (7, 8):
        bench(draw(seed), 1e-2)
        other(draw(seed), 1e-2)
        before = bench.arrays()
        for spoil in (with_infinite_loss, with_value(np.nan), with_value(np.inf), with_value(-np.inf)):
            loss, _, finite = bench(spoil(draw(9)), 1e-2)
            assert not np.isfinite(loss) and not finite
            assert_same(bench.arrays(), before)
    assert bench(draw(10), 1e-2) == other(draw(10), 1e-2)
    assert_same(bench.arrays(), other.arrays())


@pytest.mark.parametrize("place", [0, 1])
def test_infinite_loss_in_either_of_two_batches_skips_the_update(accumulating, place):
    accumulating.reset()
    batches = [draw(12), draw(13)]
    batches[place] = with_infinite_loss(batches[place])
    finite = [accumulating(batch, 1.0, update)[2] for batch, update in zip(batches, (False, True), strict=True)]
    assert finite == ([False, False] if place == 0 else [True, False])
    for p in accumulating.optimizer.weights:
        np.testing.assert_array_equal(p.asnumpy(), accumulating.first[p.name])
    continued = accumulating.change(draw(15), draw(16))
    assert norm_of(continued) > 0
    assert_same(continued, accumulating.change(draw(15), draw(16)))


def test_padding_does_not_count_in_batch_normalisation(plain):
    """The same utterances in a longer batch: the same loss, gradients and moving statistics."""
    feats, lengths, labels, label_lengths = draw(19)
    longer = np.concatenate([feats, np.full((2, 12, feats.shape[2]), 7, np.float32)], 1)
    changes, statistics = [], []
    for padded in (feats, longer):
        changes.append(plain.change((padded, lengths, labels, label_lengths)))
        statistics.append({name: array for name, array in plain.arrays().items() if "moving" in name})
    assert_same(changes[0], changes[1], atol=2e-6)
    assert_same(statistics[0], statistics[1], atol=1e-6)


def test_gradients_do_not_depend_on_the_loss_scale(tiny):
    bench, batch = Bench(tiny(*PLAIN, "trainer.precision=fp16")), draw(20)
    changes = []
    for scale in (256.0, 1024.0):
        bench.step.loss_scale = scale
        changes.append(bench.change(batch))
    assert norm_of({name: changes[0][name] - changes[1][name] for name in changes[0]}) <= 2e-3 * norm_of(changes[0])
    bench.step.loss_scale = 1e38
    bench.reset()
    assert bench(batch)[2] is False, "overflow"
    for p in bench.optimizer.weights:
        np.testing.assert_array_equal(p.asnumpy(), bench.first[p.name])


@pytest.mark.parametrize(
    ("overrides", "tolerance"),
    [
        (("trainer.precision=fp16",), 2e-2),
        (("trainer.recompute=true",), 1e-5),
        (("trainer.precision=fp16", "trainer.recompute=true", "optim.accumulate=2"), 2e-2),
    ],
    ids=["fp16", "recompute", "all"],
)
def test_precision_and_recomputation(plain, tiny, overrides, tolerance):
    """The loss and the gradient of float32, nearly; weights stay in float32."""
    batch = draw(17)
    bench = Bench(tiny(*PLAIN, *overrides))
    expected, found = plain.change(batch), bench.change(*[batch] * bench.config.optim.accumulate)
    apart = norm_of({name: found[name] - expected[name] for name in expected}) / norm_of(expected)
    assert apart < tolerance
    if "fp" in overrides[0]:
        assert apart > 1e-5  # it was half precision
    plain.reset()
    bench.reset()
    assert bench(batch)[0] == pytest.approx(plain(batch)[0], rel=tolerance)
    assert {p.dtype for p in bench.optimizer.weights} == {ms.float32}


def test_eval_step(plain):
    """Log-probabilities, lengths and losses of an evaluation: it uses the moving statistics and changes no parameter."""
    batch, before = draw(18), plain.arrays()
    log_probs, lengths, losses = (output.asnumpy() for output in EvalStep(plain.network, BLANK)(*map(Tensor, batch)))
    plain.network.set_train(True)
    assert_same(plain.arrays(), before)
    np.testing.assert_array_equal(lengths, (batch[1] - 1) // 2 + 1)
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, rtol=1e-5)
    for row in range(2):
        frames, labels = lengths[row], batch[3][row]
        arguments = map(torch.tensor, (log_probs[row, :frames], batch[2][row, :labels], frames, labels))
        theirs = torch.nn.functional.ctc_loss(*arguments, BLANK, reduction="sum")
        assert losses[row] == pytest.approx(theirs.item(), rel=1e-5)
