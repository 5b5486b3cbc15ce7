"""Pretraining configurations: published values, keys of other families, and what the schedule needs."""

import pytest

from asrlib.config.base import save_config
from asrlib.config.families import load_pretrain_config
from asrlib.config.pretraining import TrunkConfig
from asrlib.utils.errors import UserError


@pytest.mark.parametrize("kind", ["hubert", "progre"])
def test_published_values_of_pretraining(root, kind):
    """fairseq's hubert_base_librispeech and hubert_large_librivox; ProgRE's trunk is HuBERT's, without layerdrop."""
    base, large = (load_pretrain_config(root / "conf" / f"{kind}_{size}.yaml") for size in ("base", "large"))
    for config in (base, large):
        assert (config.mask.prob, config.mask.length, config.mask.min_masks, config.loss.feature_penalty) == (0.8, 10, 2, 10.0)
        assert (config.optim.name, config.optim.betas, config.optim.eps, config.optim.weight_decay) == ("adamw", (0.9, 0.98), 1e-6, 0.01)
        assert (config.schedule.name, config.schedule.warmup_steps, config.trainer.updates) == ("linear", 32000, 400000)
        assert (config.model_conf.num_classes, config.model_conf.logit_temp, config.model_conf.hop) == (504, 0.1, 320)
        assert config.model == "hubert" or config.model_conf.speaker_layer == 3
    assert (base.optim.learning_rate, base.optim.grad_clip, base.batch.batch_seconds) == (5e-4, 10.0, 87.5)
    assert (large.optim.learning_rate, large.optim.grad_clip, large.batch.batch_seconds) == (1.5e-3, 1.0, 56.25)
    assert base.model_conf.layerdrop == (0.05 if kind == "hubert" else 0.0) and large.model_conf.feature_grad_mult == 1.0


def test_a_section_keeps_the_defaults_of_pretraining():
    config = load_pretrain_config(None, ["optim.learning_rate=1e-3", "schedule.warmup_steps=10"])
    assert (config.optim.name, config.optim.betas, config.optim.weight_decay, config.schedule.name) == ("adamw", (0.9, 0.98), 0.01, "linear")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model_conf.codebooks=4"], "unknown key model_conf.codebooks"),
        (["model=wav2vec2", "model_conf.num_classes=4"], "unknown key model_conf.num_classes"),
        (["model=wav2vec2", "loss.unmasked_weight=1"], "unknown key loss.unmasked_weight"),
        (["model=progre", "model_conf.speaker_layer=11"], "speaker_layer must be before the last layer"),
        (["schedule.name=anneal"], "schedule.name=anneal counts epochs: set trainer.epochs"),
        (["model_conf.frontend=mel"], "frontend: 'mel' is not one of waveform, logmel"),
        (["model_conf.frontend=logmel", "model_conf.conv_strides=[3]"], "conv_strides must make multiples of 20 ms"),
        (["model_conf.frontend=logmel", "model_conf.conv_kernels=[4]"], "conv_kernels must be odd with frontend=logmel"),
        (["model_conf.frontend=logmel", "model_conf.conv_kernels=[5]", "model_conf.conv_strides=[2,2]"], "must be of one length"),
        (["model_conf.frontend=logmel", "model_conf.num_mels=0"], "num_mels must be at least 1"),
        (["model_conf.conv_kernels=[10,3]"], "conv_kernels and conv_strides must be of one length"),
        (["model=progre", "model_conf.conv_kernels=[10]", "model_conf.conv_strides=[100]"], "the pitch has 20 ms"),
        (["model=hubrt"], "'hubrt' is not one of hubert, progre, wav2vec2; did you mean hubert"),
        (["model=jasper"], "'jasper' is not one of hubert, progre, wav2vec2"),
    ],
)
def test_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        load_pretrain_config(None, overrides)


def test_samples_of_frames():
    config = TrunkConfig()
    assert config.samples(1) == 400 and config.samples(50) == 400 + 49 * 320
    assert config.frames(config.samples(50)) == 50 and config.frames(config.samples(50) - 1) == 49


@pytest.mark.parametrize(("strides", "hop"), [([], 640), ([2], 320), ([2, 2, 2], 1280)])
def test_log_mel_frames_are_every_second_or_fourth_of_hubert(strides, hop):
    """With as many as that for every length, so that targets of 20 ms need only be thinned out."""
    config, hubert = TrunkConfig(frontend="logmel", conv_strides=tuple(strides)), TrunkConfig()
    assert config.hop == hop and len(config.conv_kernels) == len(config.conv_strides) and set(config.conv_kernels) == {5}
    for samples in (400, 719, 720, 1039, 1040, *range(16000, 17300, 37)):
        assert config.frames(samples) == len(range(hubert.frames(samples))[:: hop // 320]), samples
    assert config.frames(399) <= 0 and config.samples(1) == 400
    assert config.frames(config.samples(50)) == 50 and config.frames(config.samples(50) - 1) == 49


def test_a_log_mel_configuration_from_its_file_is_the_same(tmp_path):
    config = load_pretrain_config(None, ["model_conf.frontend=logmel"])
    save_config(config, tmp_path / "config.yaml")
    assert load_pretrain_config(tmp_path / "config.yaml") == config
