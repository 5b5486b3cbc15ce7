"""The training configurations that come with the project, and values that they may not have."""

import pytest

from asrlib.config.families import load_train_config
from asrlib.config.features import FeatureConfig
from asrlib.utils.errors import UserError


def test_published_values(root):
    """The table of the model zoo: README and src/config.py of DeepSpeech2."""
    config = load_train_config(root / "conf" / "deepspeech2.yaml")
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
    assert load_train_config(None, ["augment.noise_dir=noises"]).augment.on_waveform
    assert load_train_config(None, ["augment.speed_volume_perturb=true"]).augment.on_waveform
    assert not load_train_config(None, ["augment.spec_augment=true"]).augment.on_waveform


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
        ("model=deepspeech", "model: 'deepspeech' is not one of deepspeech2, jasper; did you mean deepspeech2?"),
        ("optim.betas=0.9", "optim.betas: expected a list, found 0.9"),
        ("trainer.epochs=many", "trainer.epochs: expected an integer, found 'many'"),
    ],
)
def test_refused(root, override, message):
    path = root / "conf" / "deepspeech2.yaml"
    with pytest.raises(UserError) as caught:
        load_train_config(path, [override])
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
