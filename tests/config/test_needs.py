"""What recipes need on disk, against sums by hand and published sizes."""

import pytest

from asrlib.config.families import load_pretrain_config, load_train_config
from asrlib.config.needs import Need, checkpoints, features, shortage, states, targets, training_memory, tuned


def test_features_by_hand():
    config = load_train_config(None, ["features.window_stride=0.01"])
    archives, shards = features(config, 100, shards=8)
    assert archives.gigabytes == shards.gigabytes == pytest.approx(100 * 3600 * 100 * config.features.dim * 4 / 1e9)
    assert len(features(config, 100, shards=0)) == 1


def test_states_of_the_large_model_on_aishell1(root):
    """27 states of 1,024 numbers every 20 ms: the 3 TB that stage 5 would have written."""
    large = load_pretrain_config(root / "conf/progre_large.yaml")
    assert states(large, 168) == pytest.approx(168 * 3600 * 50 * 27 * 1024 * 4 / 1e9) and 3000 < states(large, 168) < 3500
    base = load_pretrain_config(root / "conf/hubert_base.yaml")
    assert states(base, 1) == pytest.approx(3600 * 50 * 13 * 768 * 4 / 1e9)
    thinner = load_pretrain_config(root / "conf/hubert_base.yaml", ["model_conf.frontend=logmel"])
    assert states(thinner, 1) == pytest.approx(states(base, 1) / 2)


def test_targets_and_checkpoints(root):
    hubert, progre = (load_pretrain_config(root / f"conf/{name}_base.yaml") for name in ("hubert", "progre"))
    (need,) = targets([hubert, progre], 10)
    assert need.gigabytes == pytest.approx(36_000 * 50 * (2 + 2 + 4) / 1e9)
    assert targets([load_pretrain_config(root / "conf/wav2vec2_base.yaml")], 10) == []
    config = load_train_config(None, ["trainer.keep_checkpoints=3", "optim.name=adam"])
    assert checkpoints(config, 10**9).gigabytes == pytest.approx(4 * (3 + 2 + 3))
    assert tuned(10, 10**8, 2).gigabytes == pytest.approx(2 * 15 * 4 * 0.14)


def test_memory_of_the_longest_utterance_and_of_a_batch(root):
    config = load_pretrain_config(root / "conf/hubert_base.yaml")
    least, whole = training_memory(config, 95_000_000)
    assert 2.5 < least < 8 and 9 < whole < 12.5, "measured: 10.4 GB for 6 x 14.1 s"
    ctc = load_train_config(root / "conf/deepspeech2.yaml")
    least, whole = training_memory(ctc, 86_608_096)
    assert least < whole < 20 * least


def test_shortage_names_what_to_leave_out():
    needs = [Need("a", 5.0, "--a 0"), Need("b", 20.0, "--b 0"), Need("c", 10.0), Need("d", 1.0, "--d 0")]
    assert shortage(needs, done=30.0, free=6.0, where="dump") == []
    (message,) = shortage(needs, done=0.0, free=6.0, where="dump")
    assert message == (
        "dump will need 36.0 GB more, 6.0 GB are free: free some space, give other folders, or --b 0 (b: 20.0 GB), or --a 0 (a: 5.0 GB)"
    )
