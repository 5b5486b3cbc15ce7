"""HuBERT and ProgRE: their PyTorch twins, transformers' HuBERT, padding, gradients, and the masked prediction loss."""

import mindspore as ms
import numpy as np
import pytest
import torch
import transformers
from mindspore import Tensor
from torch.nn import functional as F

from asrlib.config.families import load_pretrain_config
from asrlib.convert.packages import transformers_config, transformers_name
from asrlib.convert.rules import pytorch_name, to_pytorch
from asrlib.ms.models import make_network
from asrlib.ms.objectives.masked_prediction import MaskedLoss
from asrlib.ms.training.optim import make_optimizer
from asrlib.ms.training.step import TrainStep
from asrlib.pt.models.hubert import Hubert
from asrlib.pt.models.progre import Progre
from asrlib.pt.weights import assign, shapes

SMALL = (
    "model_conf.conv_channels=24",
    "model_conf.dim=32",
    "model_conf.ffn_dim=48",
    "model_conf.heads=4",
    "model_conf.layers=3",
    "model_conf.conv_pos=16",
    "model_conf.conv_pos_groups=4",
    "model_conf.final_dim=12",
    "model_conf.num_classes=9",
)
QUIET = ("model_conf.dropout=0", "model_conf.attention_dropout=0", "model_conf.dropout_input=0")
KINDS = {
    "base": (),
    "large": ("model_conf.extractor_mode=layer", "model_conf.layer_norm_first=true"),
    "biased": ("model_conf.extractor_mode=layer", "model_conf.layer_norm_first=true", "model_conf.conv_bias=true"),
    "progre": (
        "model=progre",
        "model_conf.speaker_layer=1",
        "model_conf.num_speakers=3",
        "model_conf.pitch_channels=10",
        "model_conf.pitch_hidden=6",
    ),
    "logmel": ("model_conf.frontend=logmel", "model_conf.num_mels=20"),  # 40 ms
    "progre_logmel": (
        *("model=progre", "model_conf.speaker_layer=1", "model_conf.num_speakers=3", "model_conf.pitch_channels=10", "model_conf.pitch_hidden=6"),
        *("model_conf.frontend=logmel", "model_conf.num_mels=20", "model_conf.conv_strides=[2]"),  # 20 ms
        *("model_conf.extractor_mode=layer", "model_conf.conv_bias=true"),
    ),
}
SAMPLES = np.array([8000, 5300], np.int32)


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


def configuration(kind, *overrides):
    return load_pretrain_config(None, [*SMALL, *KINDS[kind], *QUIET, *overrides])


def pair(config):
    """The network with changed initial weights, and its twin with the same weights."""
    network = make_network(config)
    rng = np.random.default_rng(3)
    for p in network.get_parameters():
        last = p.name.split(".")[-1]
        if last in ("bias", "beta", "moving_mean"):
            p.set_data(Tensor(rng.normal(0, 0.1, p.shape).astype(np.float32)))
        elif last in ("gamma", "moving_variance"):
            p.set_data(Tensor(rng.uniform(0.7, 1.3, p.shape).astype(np.float32)))
        elif last == "weight" and p.ndim == 2:
            p.set_data(Tensor((p.asnumpy() * 3).astype(np.float32)))
    twin = (Progre if config.model == "progre" else Hubert)(config.model_conf)
    arrays = {p.name: p.asnumpy() for p in network.get_parameters()}
    assign(twin, to_pytorch(arrays, shapes(twin), "network"), "network")
    return network.set_train(False), twin


def batch(config):
    """wavs, lengths, pitch of two utterances, the second one padded."""
    rng = np.random.default_rng(1)
    wavs = (0.1 * rng.standard_normal((2, SAMPLES.max()))).astype(np.float32)
    frames = [config.model_conf.frames(int(n)) for n in SAMPLES]
    pitch = rng.standard_normal((2, max(frames))).astype(np.float32)
    for row, (n, t) in enumerate(zip(SAMPLES, frames, strict=True)):
        wavs[row, n:], pitch[row, t:] = 0, 0
    return wavs, SAMPLES, pitch, frames


def states_of(network, twin, config, wavs, lengths, pitch):
    extra = (pitch,) if config.model == "progre" else ()
    mine = [x.asnumpy() for x in network(*map(Tensor, (wavs, lengths, *extra)))]
    with torch.no_grad():
        theirs = [x.numpy() for x in twin(torch.tensor(wavs), torch.tensor(lengths).long(), *map(torch.tensor, extra))]
    return mine, theirs


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_the_twin_and_of_each_utterance_alone(kind):
    config = configuration(kind)
    network, twin = pair(config)
    wavs, lengths, pitch, frames = batch(config)
    mine, theirs = states_of(network, twin, config, wavs, lengths, pitch)
    assert len(mine) == len(theirs) == config.model_conf.layers + (3 if config.model == "progre" else 1)
    for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        for row, n in enumerate(frames):
            assert np.abs(a[row, :n] - b[row, :n]).mean() <= 5e-6 * np.abs(a[row, :n]).mean(), f"state {i}, utterance {row}"
    n, t = int(SAMPLES[1]), frames[1]
    alone, _ = states_of(network, twin, config, wavs[1:, :n], lengths[1:], pitch[1:, :t])
    for a, b in zip(mine, alone, strict=True):
        np.testing.assert_allclose(a[1, :t], b[0], atol=2e-5)


@pytest.mark.parametrize("kind", ["base", "large", "biased"])
def test_transformers_hubert(kind):
    """The same weights in transformers' HuBERT: every hidden state, and the number of parameters."""
    config = configuration(kind)
    model = config.model_conf
    network, _ = pair(config)
    other = transformers.HubertModel(
        transformers.HubertConfig(
            hidden_size=model.dim, num_hidden_layers=model.layers, num_attention_heads=model.heads, intermediate_size=model.ffn_dim,
            conv_dim=[model.conv_channels] * 7, num_conv_pos_embeddings=model.conv_pos, num_conv_pos_embedding_groups=model.conv_pos_groups,
            feat_extract_norm=model.extractor_mode, do_stable_layer_norm=model.layer_norm_first, conv_bias=model.conv_bias, hidden_act="gelu",
        )
    ).eval()  # fmt: skip
    arrays = {p.name: p.asnumpy() for p in network.get_parameters()}
    heads = ("final_proj.", "label_embs_concat")
    state = {transformers_name(name, model): torch.tensor(array) for name, array in arrays.items() if not name.startswith(heads)}
    expected = set(other.state_dict())
    assert set(state) == expected
    other.load_state_dict(state)
    assert sum(array.size for name, array in arrays.items() if not name.startswith(heads)) == sum(p.numel() for p in other.parameters())
    wavs, lengths, _, frames = batch(config)
    mine = [x.asnumpy() for x in network(Tensor(wavs[:1]), Tensor(lengths[:1]))]
    with torch.no_grad():
        found = other(torch.tensor(wavs[:1]), output_hidden_states=True)
    theirs = [x.numpy() for x in (*found.hidden_states[:-1], found.last_hidden_state)]
    for a, b in zip(mine, theirs, strict=True):
        assert np.abs(a - b).mean() <= 1e-6 * max(1.0, np.abs(a).mean())


def torch_loss(twin, config, wavs, lengths, labels, mask, pitch, speakers):
    """The loss written with PyTorch's own functions."""
    twin.train()
    features, frames = twin.feature_extractor(torch.tensor(wavs), torch.tensor(lengths).long())
    mult = config.model_conf.feature_grad_mult
    features = features * mult + features.detach() * (1 - mult)
    valid = torch.arange(features.shape[1]) < frames[:, None]
    penalty = features[valid].pow(2).mean()
    if config.model == "progre":
        states = twin.all_states(features, frames, torch.tensor(pitch), torch.tensor(mask))
    else:
        states = twin.hidden_states(features, frames, torch.tensor(mask))

    def logits_of(frames):
        vectors = twin.final_proj(states[-1][frames])
        return F.cosine_similarity(vectors[:, None], twin.label_embs_concat[None], dim=-1) / config.model_conf.logit_temp

    logits = logits_of(torch.tensor(mask) > 0)
    loss = F.cross_entropy(logits, torch.tensor(labels)[torch.tensor(mask) > 0].long()) + config.loss.feature_penalty * penalty
    if weight := config.loss.unmasked_weight:
        others = valid & (torch.tensor(mask) == 0)
        loss = loss + weight * F.cross_entropy(logits_of(others), torch.tensor(labels)[others].long(), reduction="sum") / mask.sum()
    if config.model == "progre":
        part = states[config.model_conf.speaker_layer + 3]
        loss = loss + config.loss.speaker_weight * F.cross_entropy(twin.speaker_logits(part, frames), torch.tensor(speakers).long())
    return loss


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "progre_logmel"])
def test_gradients_of_one_step_are_pytorchs(kind):
    """Gradient descent at rate 1 subtracts the gradient from the weights; accumulated over two batches it is that of the large batch."""
    descent = "optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0", "optim.grad_clip=0"
    config = configuration(kind, *descent, f"loss.unmasked_weight={0.5 if kind == 'large' else 0.0}")
    network, twin = pair(config)
    wavs, lengths, pitch, frames = batch(config)
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 9, (2, max(frames))).astype(np.int32)
    mask = np.zeros((2, max(frames)), np.float32)
    mask[0, 3:15], mask[1, 2 : min(9, frames[1])] = 1, 1
    speakers = np.array([2, 0], np.int32)
    loss = torch_loss(twin, config, wavs, lengths, labels, mask, pitch, speakers)
    loss.backward()
    before = {p.name: p.asnumpy().copy() for p in network.trainable_params()}
    step = TrainStep(network, MaskedLoss(network, config), make_optimizer(network, config.optim), config.optim)
    keep, seed, share = np.ones(3, np.float32), np.array(1, np.int32), np.array(1.0, np.float32)
    numbers, _, finite = step(1.0, True, wavs, lengths, labels, mask, keep, seed, share, pitch, speakers)
    assert finite
    total = numbers[0] + config.loss.feature_penalty * numbers[2] + (config.loss.speaker_weight * numbers[3] if config.model == "progre" else 0.0)
    assert config.loss.unmasked_weight or total == pytest.approx(float(loss.detach()), rel=1e-5)
    scale = max(float(p.grad.abs().max()) for p in twin.parameters() if p.grad is not None)
    gradients = {name: before[name] - p.asnumpy() for name, p in ((p.name, p) for p in network.trainable_params())}
    expected = {name: p.grad.numpy() for name, p in twin.named_parameters() if p.grad is not None}
    for name, gradient in gradients.items():
        reference = expected[pytorch_name(name)]
        error = np.linalg.norm(gradient - reference) / max(np.linalg.norm(reference), 1e-4 * scale)
        assert error <= 2e-3 if np.linalg.norm(reference) < 1e-3 * scale else error <= 1e-4, f"{name}: {error:.2e}"


def test_batches_of_one_update_count_as_one_large_batch():
    """Accumulated over two batches of different size, each with its share of the masked frames, the gradient is that of both together."""
    config = configuration("large", "optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0", "optim.grad_clip=0", "loss.feature_penalty=0",
                           "loss.unmasked_weight=0.5")  # fmt: skip
    rng = np.random.default_rng(5)
    wavs, lengths, pitch, frames = batch(config)
    labels, mask = rng.integers(0, 9, (2, max(frames))).astype(np.int32), np.zeros((2, max(frames)), np.float32)
    mask[0, 3:15], mask[1, 2:6] = 1, 1
    keep, seed, speakers = np.ones(3, np.float32), np.array(1, np.int32), np.zeros(2, np.int32)
    gradients = []
    for parts in ([slice(0, 2)], [slice(0, 1), slice(1, 2)]):
        network, _ = pair(config)
        settings = load_pretrain_config(None, [*SMALL, "optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0", "optim.grad_clip=0",
                                                      f"optim.accumulate={len(parts)}"]).optim  # fmt: skip
        step = TrainStep(network, MaskedLoss(network, config), make_optimizer(network, settings), settings)
        before = {p.name: p.asnumpy().copy() for p in network.trainable_params()}
        for number, part in enumerate(parts, 1):
            share = np.array(mask[part].sum() / mask.sum(), np.float32)
            arrays = (wavs[part], lengths[part], labels[part], mask[part], keep, seed, share, pitch[part], speakers[part])
            step(1.0, number == len(parts), *arrays)
        gradients.append({p.name: before[p.name] - p.asnumpy() for p in network.trainable_params()})
    scale = max(np.abs(g).max() for g in gradients[0].values())
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], gradient, atol=2e-6 * scale, err_msg=name)


@pytest.mark.parametrize(("size", "trunk"), [("base", 94_371_712), ("large", 315_435_136)])
def test_number_of_parameters(root, size, trunk):
    """Those of transformers' HubertModel of the same configuration, and the heads of pretraining."""
    config = load_pretrain_config(root / "conf" / f"hubert_{size}.yaml")
    model, other = config.model_conf, transformers.HubertModel  # imported before the device changes
    with torch.device("meta"):
        theirs = other(transformers.HubertConfig.from_dict(transformers_config(config)))
        mine = Hubert(model)
    assert sum(p.numel() for p in theirs.parameters()) == trunk
    heads = (model.dim + 1) * model.final_dim + model.num_classes * model.final_dim
    assert sum(p.numel() for p in mine.parameters()) == trunk + heads
