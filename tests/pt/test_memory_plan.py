"""Batches of ESPnet in parts: how many, for which memory, and that an update sees as much audio."""

import json

import pytest
import yaml

from asrlib.config.base import read_yaml
from asrlib.corpora.kaldi_table import write_table
from asrlib.pt.dump import RATE, Speech
from asrlib.pt.finetune import CONFIG, DATA, PARTS, _check_run
from asrlib.pt.memory_plan import batch_seconds, plan_parts, with_parts
from asrlib.pt.s3prl_upstream import UpstreamSource
from asrlib.utils.errors import UserError

BASE, STATES = UpstreamSource("hubert_local", "", 13, 768, 320), Speech("states", layers=13, dim=768, downsample_rate=320)


@pytest.fixture
def shapes(tmp_path):
    long, short = [f"a{i}" for i in range(100)], [f"b{i}" for i in range(100)]
    write_table(tmp_path / "speech_shape", dict.fromkeys(long, str(16 * RATE)) | dict.fromkeys(short, str(3 * RATE)))
    write_table(tmp_path / "text_shape", dict.fromkeys(long, "40,1900") | dict.fromkeys(short, "10,1900"))  # a quarter of the numbers in a batch
    return {"train_shape_file": [str(tmp_path / "speech_shape"), str(tmp_path / "text_shape")]}


@pytest.fixture
def conformer(root, shapes):
    return read_yaml(root / "conf/asr_conformer.yaml") | shapes


def test_a_published_batch_is_divided_where_it_does_not_fit(conformer, logged):
    parts = plan_parts(conformer, STATES, BASE, 20.0)
    divided = with_parts(conformer, parts)
    assert parts > 1 and divided["accum_grad"] == parts and divided["batch_bins"] == conformer["batch_bins"] // parts
    assert any(f"divided into {parts} parts" in line for line in logged)
    assert plan_parts(conformer, STATES, BASE, 200.0) == 1 and with_parts(conformer, 1) == conformer
    assert plan_parts(conformer, STATES, BASE, 2 * 20.0, processes=2) == -(-parts // 2), "two processes: each half of the batch, half of the memory"
    assert plan_parts(conformer, STATES, BASE, 10.0) > parts


def test_an_epoch_has_an_update(conformer, tmp_path):
    """A corpus of less than a batch: ESPnet would never update the weights with more batches per update than there are."""
    write_table(tmp_path / "speech_shape", {f"u{i}": str(5 * RATE) for i in range(10)})
    write_table(tmp_path / "text_shape", {f"u{i}": "10,100" for i in range(10)})
    divided = with_parts(conformer, 20)
    assert divided["batch_bins"] == 400_000 and divided["accum_grad"] == 2, "50 s are 2 batches of 25 s"


def test_a_trained_upstream_counts_the_same_updates(root, shapes):
    values = read_yaml(root / "conf/asr_wav2vec2_ctc.yaml") | shapes
    assert batch_seconds(values, [1], [1]) == 160
    parts = plan_parts(values, Speech("audio"), BASE, 20.0)
    divided = with_parts(values, parts)
    assert parts > 1 and divided["batch_size"] == 32 // parts
    assert divided["accum_grad"] == divided["frontend_conf"]["accum_grad"] == 2 * parts


def test_one_utterance_that_does_not_fit_is_said(conformer, logged):
    assert batch_seconds(conformer, [300], [100]) == 375, "ESPnet counts samples and text in a batch of 8 million"
    assert plan_parts(conformer, STATES, BASE, 2.0) == pytest.approx(500 * 0.76 / 16, abs=1)
    assert any("one utterance of 16.0 s needs" in line for line in logged)


def test_a_resumed_run_keeps_its_parts(conformer, tmp_path):
    (tmp_path / DATA).write_text(json.dumps({"train": "a", "valid": "b", PARTS: 3}))
    (tmp_path / CONFIG).write_text(yaml.safe_dump(with_parts(conformer, 3)))
    assert not _check_run(tmp_path, conformer)
    with pytest.raises(UserError, match="another configuration .batch_bins"):
        _check_run(tmp_path, conformer | {"batch_bins": 4000})
