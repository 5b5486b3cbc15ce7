"""The training configurations that come with the project, and values that they may not have."""

import pytest

from asrlib.config.base import load_config
from asrlib.config.ctc import FeatureConfig, TrainConfig, load_train_config
from asrlib.config.pretraining import PretrainConfig, experiment_config
from asrlib.utils.errors import UserError


def test_every_configuration_loads(root):
    """All but ESPnet's, which tests/pt checks."""
    paths = [path for path in (*root.glob("conf/**/*.yaml"), *root.glob("egs/*/*/conf/*.yaml")) if not path.name.startswith("asr_")]
    assert {"deepspeech2.yaml", "jasper.yaml", "progre.yaml"} <= {path.name for path in paths}
    for path in paths:
        assert experiment_config(path).model in path.name, path


@pytest.mark.parametrize("kind", ["hubert", "progre"])
def test_published_values_of_pretraining(root, kind):
    """fairseq's hubert_base_librispeech and hubert_large_librivox; ProgRE's trunk is HuBERT's, without layerdrop."""
    base, large = (load_config(root / "conf" / f"{kind}_{size}.yaml", PretrainConfig) for size in ("base", "large"))
    for config in (base, large):
        assert (config.mask.prob, config.mask.length, config.mask.min_masks, config.loss.feature_penalty) == (0.8, 10, 2, 10.0)
        assert (config.optim.name, config.optim.betas, config.optim.eps, config.optim.weight_decay) == ("adamw", (0.9, 0.98), 1e-6, 0.01)
        assert (config.schedule.name, config.schedule.warmup_steps, config.trainer.updates) == ("linear", 32000, 400000)
        assert (config.model_conf.num_classes, config.model_conf.logit_temp, config.model_conf.hop) == (504, 0.1, 320)
        assert (config.model == "progre") == (config.model_conf.speaker_layer == 3)
    assert (base.optim.learning_rate, base.optim.grad_clip, base.batch.batch_seconds) == (5e-4, 10.0, 87.5)
    assert (large.optim.learning_rate, large.optim.grad_clip, large.batch.batch_seconds) == (1.5e-3, 1.0, 56.25)
    assert base.model_conf.layerdrop == (0.05 if kind == "hubert" else 0.0) and large.model_conf.feature_grad_mult == 1.0


def test_published_values(root):
    """The table of the model zoo: README and src/config.py of DeepSpeech2."""
    config = load_config(root / "conf" / "deepspeech2.yaml", TrainConfig)
    features, model, optim = config.features, config.model_conf, config.optim
    assert (features.sample_rate, features.window_size, features.window_stride, features.window) == (16000, 0.02, 0.01, "hamming")
    assert (features.dim, features.normalize) == (161, True)
    assert (model.conv_channels, model.rnn_type, model.hidden_size, model.hidden_layers) == (32, "lstm", 1024, 5)
    assert (model.bidirectional, model.lookahead_context) == (True, 20)
    assert (config.batch.batch_size, config.trainer.epochs, config.trainer.loss_scale) == (20, 70, 1024)
    assert (optim.learning_rate, optim.betas, optim.eps, optim.weight_decay, optim.momentum) == (3e-4, (0.9, 0.999), 1e-8, 1e-5, 0.9)
    assert (config.schedule.name, config.schedule.learning_anneal) == ("anneal", 1.1)
    assert (config.augment.speed_volume_perturb, config.augment.spec_augment, config.augment.on_waveform) == (False, False, False)
    assert (config.augment.noise_dir, config.augment.noise_prob, config.augment.noise_min, config.augment.noise_max) == ("", 0.4, 0.0, 0.5)


def test_samples_of_windows():
    assert (FeatureConfig().window_samples, FeatureConfig().stride_samples) == (320, 160)
    assert (FeatureConfig(sample_rate=8000).window_samples, FeatureConfig(sample_rate=8000).dim) == (160, 81)


def test_augmentation_on_the_waveform():
    assert load_config(None, TrainConfig, ["augment.noise_dir=noises"]).augment.on_waveform
    assert load_config(None, TrainConfig, ["augment.speed_volume_perturb=true"]).augment.on_waveform
    assert not load_config(None, TrainConfig, ["augment.spec_augment=true"]).augment.on_waveform


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.learning_rat=1", "unknown key optim.learning_rat; did you mean optim.learning_rate?"),
        ("trainer.precision=fp8", "trainer.precision: 'fp8' is not one of fp32, fp16, bf16"),
        ("model_conf.hidden_size=0", "model_conf.hidden_size must be at least 1"),
        ("augment.speed_min=0", "augment.speed_min must be greater than 0 and at most speed_max"),
        ("augment.noise_min=0.6", "augment.noise_min must be at most noise_max"),
        ("augment.gain_max=-9", "augment.gain_min must be at most gain_max"),
        ("augment.time_mask_ratio=1.5", "augment.time_mask_ratio must be at most 1"),
        ("batch.prefetch=0", "batch.prefetch must be at least 1"),
        ("batch.min_seconds=40", "batch.min_seconds must be at most max_seconds"),
        ("optim.accumulate=0", "optim.accumulate must be at least 1"),
        ("optim.learning_rate=-1e-3", "optim.learning_rate must be at least 0"),
        ("optim.learning_rate=.nan", "optim.learning_rate must be at least 0"),
        ("optim.betas=[0.9,1]", "optim.betas must be at least 0 and less than 1"),
        ("schedule.cycle_steps=0", "schedule.cycle_steps must be at least 1"),
        ("trainer.valid_interval=0", "trainer.valid_interval must be at least 1"),
        ("trainer.seed=-1", "trainer.seed must be at least 0"),
        ("features.window_stride=0", "features.window_size must be at least window_stride, and both positive"),
        ("model=deepspeech", "model: 'deepspeech' is not one of deepspeech2; did you mean deepspeech2?"),
        ("optim.betas=0.9", "optim.betas: expected a list, found 0.9"),
        ("trainer.epochs=many", "trainer.epochs: expected an integer, found 'many'"),
    ],
)
def test_refused(root, override, message):
    path = root / "conf" / "deepspeech2.yaml"
    with pytest.raises(UserError) as caught:
        load_config(path, TrainConfig, [override])
    assert str(caught.value) == f"{path}: {message}"


def test_jaspers_features_are_log_mel_whatever_section_is_given(tmp_path):
    path = tmp_path / "jasper.yaml"
    path.write_text("model: jasper\nfeatures: {num_mels: 40}\n")
    config = load_train_config(path)
    assert (config.features.type, config.features.window, config.features.dim) == ("logmel", "hann", 40)
    with pytest.raises(UserError, match="did you mean model_conf.repeat"):
        load_train_config(path, ["model_conf.repeats=3"])
    path.write_text("model: jaspr\n")
    with pytest.raises(UserError, match="'jaspr' is not one of deepspeech2, jasper; did you mean jasper"):
        load_train_config(path)
