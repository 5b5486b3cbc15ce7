"""Families of models and their configurations, those of earlier versions included."""

import yaml

from asrlib.config.base import dump_config
from asrlib.config.ctc import TrainConfig
from asrlib.config.families import SHARED_IN_0_1, families, load_experiment_config, load_pretrain_config, load_train_config
from asrlib.config.pretraining import PretrainConfig


def test_every_configuration_loads(root):
    """All but ESPnet's, which tests/pt checks."""
    patterns = ("conf/**/*.yaml", "egs/*/conf/*.yaml", "egs/*/*/conf/*.yaml")
    paths = [path for pattern in patterns for path in root.glob(pattern) if not path.name.startswith("asr_")]
    assert {"deepspeech2.yaml", "jasper.yaml", "progre.yaml"} <= {path.name for path in paths}
    for path in paths:
        assert load_experiment_config(path).model in path.name, path


def test_families():
    assert set(families(TrainConfig)) == {"deepspeech2", "jasper"} and set(families(PretrainConfig)) == {"hubert", "progre", "wav2vec2"}


def test_output_frames():
    for name in families(TrainConfig):
        model = load_train_config(None, [f"model={name}"]).model_conf
        assert [model.output_frames(n) for n in (1, 2, 3, 4, 301)] == [1, 1, 2, 2, 151]


def test_saved_by_version_0_1(tmp_path):
    """Then every self-supervised configuration had the keys of all families."""
    for name in families(PretrainConfig):
        config = load_pretrain_config(None, [f"model={name}", "model_conf.layers=4"])
        values = yaml.safe_load(dump_config(config))
        for section, keys in SHARED_IN_0_1.items():
            values[section] = dict.fromkeys(sorted(keys), 0) | values[section]
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
        assert load_experiment_config(tmp_path / "config.yaml") == config
