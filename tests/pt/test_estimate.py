"""The command estimate: tables, shortages and what it refuses."""

import pytest

from asrlib.bin import estimate
from asrlib.config.families import load_pretrain_config, load_train_config
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.pt.models import count_parameters, make_network
from asrlib.utils import space
from asrlib.utils.errors import UserError


def test_parameters_are_counted_without_their_values(root):
    assert count_parameters(load_train_config(root / "conf/deepspeech2.yaml"), 29) == 86_608_096
    for name in ("hubert", "progre", "wav2vec2"):
        config = load_pretrain_config(root / f"conf/mini/{name}.yaml")
        assert count_parameters(config) == sum(parameter.numel() for parameter in make_network(config).parameters())


@pytest.fixture
def call(root, tmp_path, monkeypatch, capsys):
    """Calls the command for AISHELL-1 before it is downloaded, with 100 GB free."""
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100 * 10**9}))
    monkeypatch.chdir(tmp_path)

    def run(*options, sources="downloads/data_aishell/wav downloads/data_aishell/transcript", corpus="aishell1"):
        capsys.readouterr()  # of a call that was refused
        estimate.main(["--sources", sources, "--corpus", corpus, *options])
        return capsys.readouterr().out

    return run


def test_hidden_states_of_terabytes_are_refused(call, root, logged):
    options = ["--pretrain_configs", f"{root}/conf/hubert_base.yaml {root}/conf/progre_large.yaml", "--asr_config", f"{root}/conf/asr_conformer.yaml"]
    states = 178 * 3600 * 50 * 27 * 1024 * 4 / 1e9
    with pytest.raises(
        UserError, match=rf"dump and exp will need .* GB more, 100.0 GB are free.*--cache_states false .hidden states: {states:.1f} GB"
    ):
        call(*options, "--cache_states", "true", "--memory_gb", "64")
    shown = call(*options, "--cache_states", "true", "--memory_gb", "64", "--shortage", "warn")
    assert "178.0 hours  wav, as published" in shown and f"{states:8.1f} GB     hidden states\n" in shown and "targets of pretraining" in shown
    assert logged[-1].startswith("dump and exp will need")
    assert f"{states:8.1f} GB     hidden states exceed --cache_gb 50" in call(*options, "--memory_gb", "64")
    shown = call(*options, "--pretrained", "true", "--memory_gb", "64", "--systems", "2")
    assert "checkpoints of 2 fine-tunings" in shown and "memory of" not in shown and "targets" not in shown


def test_features_by_the_hours_of_utt2dur(call, root, tmp_path):
    KaldiDir({"utt2spk": {"a": "a"}, "wav.scp": {"a": "nowhere"}, "utt2dur": {"a": "36000"}}).write(tmp_path / "data")
    config = load_train_config(root / "conf/deepspeech2.yaml")
    rate = 3600 / config.features.window_stride * config.features.dim * 4 / 1e9
    options = ["--train_config", str(root / "conf/deepspeech2.yaml"), "--num_shards", "8", "--memory_gb", "64"]
    shown = call(*options, sources="data", corpus="")
    assert f"{10 * rate:8.1f} GB     features as MindRecord" in shown and "data/utt2dur" in shown and "memory of deepspeech2" in shown
    with pytest.raises(UserError, match="dump and exp will need .*--num_shards 0"):
        call(*options, "--train_args", "features.window_stride=0.0001")
    assert "hours unknown" in call(*options, sources="nowhere", corpus="an4")


def test_memory_that_one_utterance_exceeds(call, root):
    options = ["--train_config", str(root / "conf/deepspeech2.yaml"), "--memory_gb", "1"]
    with pytest.raises(UserError, match="training of deepspeech2 needs .* GB of memory for its longest utterance alone, 1.0 GB may be used: lower"):
        call(*options)
    assert "memory" not in call(*options, "--device", "Ascend")
