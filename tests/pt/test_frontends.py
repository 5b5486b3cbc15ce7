"""A trained upstream: frozen for its first updates, counted across a resume, with dropout and masks only in training."""

import pytest
import torch
import yaml

from asrlib.pt import upstreams
from asrlib.pt.frontends import TrainedUpstream
from asrlib.utils.errors import UserError

AUDIO = torch.randn(2, 9000, generator=torch.Generator().manual_seed(0)) * 0.1
LENGTHS = torch.tensor([9000, 7000])


@pytest.fixture(params=["hubert", "wav2vec2"])
def upstream(request, packages):
    """frontend_conf of a tiny upstream."""
    return {"upstream": f"{request.param}_local", "path_or_url": str(packages[request.param])}


@pytest.fixture
def frontend(upstream):
    """frontend(**options)"""
    return lambda **options: TrainedUpstream(upstream, **options)


def gradient(frontend):
    """Whether the upstream has a gradient after a training batch."""
    return frontend(AUDIO, LENGTHS)[0].requires_grad


def test_it_gives_what_espnets_frontend_gives(frontend, upstream):
    from espnet2.asr.frontend.s3prl import S3prlFrontend

    for options in ({}, {"multilayer_feature": True}, {"layer": 1}):
        theirs = S3prlFrontend(frontend_conf=upstream, **options).eval()
        ours = frontend(**options, dropout=0.5, mask_prob=0.9, layerdrop=0.9).eval()
        for a, b in zip(ours(AUDIO, LENGTHS), theirs(AUDIO, LENGTHS), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
        assert set(ours.state_dict()) == {*theirs.state_dict(), "updates"}


def test_updates_are_counted_not_batches(frontend):
    """Two batches per update; the third batch of an epoch and validation batches are not counted."""
    model = frontend(freeze_finetune_updates=2, accum_grad=2)
    seen = []
    for _ in range(2):
        model.train()
        seen += [gradient(model) for _ in range(3)]
        model.eval()
        with torch.no_grad():
            model(AUDIO, LENGTHS)
    assert (seen, int(model.updates)) == ([False] * 5 + [True], 2)


def test_a_resumed_run_takes_the_count_up(frontend):
    first = frontend(freeze_finetune_updates=2).train()
    assert not gradient(first)
    second = frontend(freeze_finetune_updates=2).train()
    second.load_state_dict(first.state_dict())
    assert [gradient(second) for _ in range(2)] == [False, True]


def test_the_sum_of_layers_learns_while_the_upstream_is_frozen(frontend):
    model = frontend(freeze_finetune_updates=1, multilayer_feature=True).train()
    model(AUDIO, LENGTHS)[0].square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["featurizer.weights"]


@pytest.mark.parametrize("option", ["dropout", "attention_dropout", "activation_dropout", "dropout_input", "layerdrop", "mask_prob"])
def test_each_option_disturbs_training_alone(frontend, option):
    plain, model = frontend(), frontend(**{option: 0.6}, mask_length=3)
    torch.testing.assert_close(plain.train()(AUDIO, LENGTHS)[0], model.eval()(AUDIO, LENGTHS)[0])
    expected = plain(AUDIO, LENGTHS)[0]
    assert any(not torch.allclose(model.train()(AUDIO, LENGTHS)[0], expected) for _ in range(5))


def test_all_layers_dropped_leave_the_input(frontend):
    """layerdrop 1: the output is the first layer's input after the last normalisation."""
    model = frontend(layerdrop=1.0).train()
    states, _ = model.upstream(AUDIO[:1], LENGTHS[:1])
    assert all(torch.equal(state, states[0]) for state in states[:-1])
    norm = model.upstream.upstream.model.encoder.layer_norm
    torch.testing.assert_close(norm(states[0]), states[-1])


@pytest.mark.parametrize("name", ["asr_wav2vec2_ctc.yaml", "asr_wav2vec2_ctc_later.yaml", "mini/asr_wav2vec2_ctc.yaml"])
def test_what_is_frozen_for_good_is_there(packages, root, name):
    """Every name in freeze_param exists in wav2vec 2.0, because ESPnet ignores unknown ones."""
    model = TrainedUpstream({"upstream": "wav2vec2_local", "path_or_url": str(packages["wav2vec2"])})
    names = {f"frontend.{name}" for name, _ in model.named_parameters()}
    frozen = yaml.safe_load((root / "conf" / name).read_text())["freeze_param"]
    assert all(any(found == prefix or found.startswith(f"{prefix}.") for found in names) for prefix in frozen)
    left = {found.removeprefix("frontend.upstream.upstream.model.") for found in names if not found.startswith(tuple(frozen))}
    norms = {"encoder.layer_norm.weight", "encoder.layer_norm.bias", "layer_norm.weight", "layer_norm.bias"}
    assert {found.partition(".layers.")[0] for found in left} == norms | {"encoder", "frontend.featurizer.weights"}


def test_an_upstream_without_dropouts(progre_package):
    upstreams.register()
    conf = {"upstream": "progre_local", "path_or_url": str(progre_package)}
    assert gradient(TrainedUpstream(conf).train())
    with pytest.raises(UserError, match="progre_local supports no dropout"):
        TrainedUpstream(conf, dropout=0.1)
