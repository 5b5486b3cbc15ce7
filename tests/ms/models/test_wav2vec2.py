"""wav2vec 2.0: transformers' losses, gradients and hidden states, fairseq's parameters, the quantiser, negatives, and what a batch holds."""

import mindspore as ms
import numpy as np
import pytest
import torch
import transformers
from mindspore import Tensor, ops
from torch.nn import functional as F

from asrlib.config.families import load_pretrain_config
from asrlib.config.pretraining import MaskConfig
from asrlib.convert.packages import pretraining_name, transformers_config
from asrlib.convert.rules import to_pytorch
from asrlib.ms.data.masking import draw_mask, draw_negatives
from asrlib.ms.models import make_network
from asrlib.ms.objectives.contrastive import ContrastiveLoss
from asrlib.pt.models.wav2vec2 import Wav2vec2
from asrlib.pt.weights import assign, shapes

SMALL = "conv_channels=24 dim=32 ffn_dim=48 heads=4 layers=3 conv_pos=16 conv_pos_groups=4 final_dim=12 codebooks=2 codewords=40 code_dim=16"
QUIET = "feature_grad_mult=1 dropout=0 attention_dropout=0 dropout_input=0 dropout_features=0"
KINDS = {"base": "", "large": "extractor_mode=layer layer_norm_first=true"}
TEMPERATURE = 1.7


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


def configuration(kind, *overrides):
    words = f"{SMALL} {QUIET} {KINDS[kind]}".split()
    rest = ["mask.prob=0.65", "loss.negatives=7", "loss.feature_penalty=0", *overrides]
    return load_pretrain_config(None, ["model=wav2vec2", *(f"model_conf.{word}" for word in words), *rest])


def network_of(config):
    """A network with changed initial weights."""
    network, rng = make_network(config), np.random.default_rng(3)
    for p in network.get_parameters():
        if p.name.split(".")[-1] in ("bias", "beta"):
            p.set_data(Tensor(rng.normal(0, 0.1, p.shape).astype(np.float32)))
        elif p.name.endswith("gamma"):
            p.set_data(Tensor(rng.uniform(0.7, 1.3, p.shape).astype(np.float32)))
        elif p.ndim == 2 and "quantizer" not in p.name:
            p.set_data(Tensor((p.asnumpy() * 3).astype(np.float32)))
    return network


def inputs_of(config):
    """A batch of two utterances of one length; the frames drawn as negatives (2, T, negatives), as indices for transformers."""
    rng = np.random.default_rng(1)
    wavs = (0.1 * rng.standard_normal((2, 9000))).astype(np.float32)
    frames = config.model_conf.frames(9000)
    mask = np.stack([draw_mask(frames, config.mask, rng) for _ in wavs]).astype(np.float32)
    counts, drawn = np.zeros((2, frames, frames), np.float32), np.zeros((2, frames, config.loss.negatives), np.int64)
    for row in range(2):
        assert draw_negatives(mask[row], config.loss.negatives, rng, counts[row])
        for i in np.flatnonzero(mask[row]):
            drawn[row, i] = np.repeat(np.arange(frames), counts[row, i].astype(int)) + row * frames
    noise = rng.gumbel(size=(2, frames, config.model_conf.codebooks * config.model_conf.codewords)).astype(np.float32)
    return wavs, mask, counts, drawn, noise


def losses_of(network, config, wavs, mask, counts, noise):
    """Loss, metrics and gradients by name."""
    loss = ContrastiveLoss(network, config)
    loss.set_train()
    weights = ms.ParameterTuple(network.trainable_params())
    lengths, keep = np.full(len(wavs), wavs.shape[1], np.int32), np.ones(config.model_conf.layers, np.float32)
    numbers = np.array(5, np.int32), np.array(1, np.float32), np.array(TEMPERATURE, np.float32)
    inputs = [Tensor(x) for x in (wavs, lengths, mask, counts, keep, *numbers, noise)]
    (total, metrics), grads = ops.value_and_grad(loss, None, weights, has_aux=True)(*inputs)
    return float(total.asnumpy()), metrics.asnumpy(), {p.name: g.asnumpy() for p, g in zip(weights, grads, strict=True)}


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_transformers(kind, monkeypatch):
    """The same weights, masks, negatives and Gumbel noise: loss to 1e-5, gradients to 1e-4."""
    config = configuration(kind)
    network = network_of(config)
    wavs, mask, counts, drawn, noise = inputs_of(config)
    total, metrics, grads = losses_of(network, config, wavs, mask, counts, noise)

    model = transformers.Wav2Vec2ForPreTraining(transformers.Wav2Vec2Config(**transformers_config(config) | {"layerdrop": 0.0})).train()
    arrays = {p.name: p.asnumpy() for p in network.get_parameters()}
    names = {name: pretraining_name(name, config.model_conf) for name in arrays}
    model.load_state_dict({names[name]: torch.from_numpy(array) for name, array in arrays.items()})
    model.set_gumbel_temperature(TEMPERATURE)

    def gumbel_softmax(logits, tau, hard):
        noisy = logits + torch.from_numpy(noise).reshape(logits.shape)
        soft = (noisy / tau).softmax(-1)
        return F.one_hot(noisy.argmax(-1), logits.shape[-1]) + (soft - soft.detach())

    monkeypatch.setattr(torch.nn.functional, "gumbel_softmax", gumbel_softmax)
    output = model(torch.from_numpy(wavs), mask_time_indices=torch.from_numpy(mask), sampled_negative_indices=torch.from_numpy(drawn))
    masked = mask.sum()
    (output.loss / masked).backward()
    assert total == pytest.approx(output.loss.item() / masked, rel=1e-5)
    assert metrics[0] == pytest.approx(output.contrastive_loss.item() / masked, rel=1e-5)
    assert metrics[3] == pytest.approx(output.codevector_perplexity.item(), rel=1e-4)
    theirs = dict(model.named_parameters())
    for name, grad in grads.items():
        expected = theirs[names[name]].grad.numpy()
        scale = np.abs(expected).max()
        assert np.abs(grad - expected).max() <= 1e-4 * max(scale, 1e-4), name
    assert set(names.values()) == set(theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_the_twin(kind):
    config = configuration(kind)
    network = network_of(config).set_train(False)
    twin = Wav2vec2(config.model_conf).eval()
    assign(twin, to_pytorch({p.name: p.asnumpy() for p in network.get_parameters()}, shapes(twin), "network"), "network")
    wavs, lengths = inputs_of(config)[0], np.array([9000, 6000], np.int32)
    wavs[1, 6000:] = 0
    mine = [x.asnumpy() for x in network(Tensor(wavs), Tensor(lengths))]
    with torch.no_grad():
        theirs = [x.numpy() for x in twin(torch.from_numpy(wavs), torch.from_numpy(lengths).long())]
    for a, b in zip(mine, theirs, strict=True):
        for row, n in enumerate(config.model_conf.frames(int(length)) for length in lengths):
            assert np.abs(a[row, :n] - b[row, :n]).mean() <= 5e-6 * np.abs(a[row, :n]).mean()


def test_parameters_of_the_published_model():
    assert sum(p.size for p in make_network(load_pretrain_config("conf/wav2vec2_base.yaml")).trainable_params()) == 95_044_608


def test_a_negative_with_the_right_codewords_does_not_count():
    """Without noise and with equal frames everywhere all codewords agree: there is no negative, the loss is 0 and nothing is identified."""
    config = configuration("base", "loss.diversity_weight=0")
    network = network_of(config)
    network.quantizer.weight_proj.weight.set_data(ops.zeros_like(network.quantizer.weight_proj.weight))
    wavs, mask, counts, _, noise = inputs_of(config)
    total, metrics, _ = losses_of(network, config, wavs, mask, counts, np.zeros_like(noise))
    assert total == 0 and metrics[1] == 0 and metrics[4] == pytest.approx(config.model_conf.codebooks, rel=1e-4)
    other = losses_of(network, config, wavs, mask, counts, noise)
    assert other[0] > 0.1 and other[1][4] > 10


def test_negatives():
    rng = np.random.default_rng(0)
    mask = draw_mask(60, MaskConfig(prob=0.65), rng)
    counts = np.zeros((60, 60))
    assert draw_negatives(mask, 100, rng, counts)
    assert np.array_equal(counts.sum(1), 100.0 * mask) and not counts[:, ~mask].any() and not np.diag(counts).any()
    drawn = np.zeros((60, 60))
    for _ in range(200):
        draw_negatives(mask, 100, rng, drawn)
    others = mask.sum() - 1
    first = np.flatnonzero(mask)[0]
    share = drawn[first][mask & (np.arange(60) != first)] / 20000
    assert np.abs(share - 1 / others).max() < 0.3 / others, "all other masked frames are equally probable"
    few, alone = np.zeros((5, 5)), np.zeros((5, 5))
    assert draw_negatives(np.array([1, 0, 1, 0, 0]), 100, rng, few)
    assert few[0, 2] == few[2, 0] == 100, "with replacement, if there are fewer frames than negatives"
    assert not draw_negatives(np.array([0, 0, 1, 0, 0]), 100, rng, alone) and not alone.any()


def test_averaging_convolutions_give_neighbouring_frames_that_are_alike():
    """Unlike random ones, which keep the phase of the waveform: two tones of equal loudness and changing phase, 0.3 s each."""
    time = np.arange(16000) / 16000
    wavs = np.sin(2 * np.pi * np.where(time % 0.6 < 0.3, 310, 1730) * time)[None].astype(np.float32)
    alike = {}
    for init in ("kaiming", "average"):
        network = make_network(configuration("base", f"model_conf.conv_init={init}")).set_train(False)
        frames = network.feature_extractor(Tensor(wavs), Tensor(np.array([16000], np.int32)))[0].asnumpy()[0]
        frames = frames - frames.mean(0)
        frames /= np.linalg.norm(frames, axis=1, keepdims=True)
        alike[init] = float((frames[1:] * frames[:-1]).sum(1).mean())
    assert alike["average"] > 0.6 > 0.4 > alike["kaiming"], alike
