"""Rows of ESPnet's log, and curves of every kind of training."""

import json

import numpy as np
import pytest

from asrlib.page.curves import charts, espnet_rows, training_rows, validations
from asrlib.page.experiment import open_experiment, upstream_of
from asrlib.page.model import layer_comparison, layer_weights, sums_hidden_states
from asrlib.page.render import write_page
from asrlib.report.layers import plot_layer_weights
from tests.page.conftest import parsed

# Lines of ESPnet 202511, the first two with the values of other metrics left out
LOG = """2026-11-27 23:45:30,252 (trainer:394) INFO: 1epoch results: [train] iter_time=0.008, loss_ctc=66.265, loss=66.265, grad_norm=157.510, \
optim0_lr0=7.426e-04, time=0.28 seconds, total_count=5, [valid] loss_ctc=52.777, cer_ctc=0.667, acc=nan, cer=nan, wer=nan, loss=52.777, \
time=0.05 seconds, total_count=2
2026-11-27 23:45:34,943 (trainer:394) INFO: 2epoch results: [train] loss=12.7, acc=0.269, optim0_lr0=6e-05, [valid] acc=0.313, cer=9.000, wer=1.000, \
loss=9.767, time=2.03 seconds, total_count=4, [att_plot] time=0.1 seconds, total_count=1
2026-11-27 23:50:00,000 (trainer:394) INFO: 2epoch results: [train] loss=11.5, acc=0.3, optim0_lr0=6e-05, [valid] acc=0.5, cer=0.25, loss=8.0
"""


def finetuned(tmp_path):
    """A fine-tuning of the upstream exp/pre, whose fine-tuning was resumed."""
    exp, pre = tmp_path / "exp/asr", tmp_path / "exp/pre"
    (exp / "inference").mkdir(parents=True)
    (pre / "pt").mkdir(parents=True)
    (exp / "train.log").write_text(LOG)
    (exp / "asr.yaml").write_text("frontend: cached_states\ntoken_list: [" + ", ".join("abcdefghijklmnopqrstuvwxyzABCDEFG") + "]\n")
    (exp / "inference/config.yaml").write_text("frontend: s3prl\nfrontend_conf: {frontend_conf: {path_or_url: exp/pre/pt/s3prl.pt}}\n")
    (pre / "pt/s3prl.pt").write_text("")
    (pre / "config.yaml").write_text("model: hubert\n")
    rows = [{"update": n, "epoch": n / 9, "loss": 5.0 / n, "masked_accuracy": n / 10, "learning_rate": 1e-4} for n in range(1, 6)]
    rows.append({"update": 5, "epoch": 5 / 9, "valid_loss": 1.5, "valid_accuracy": 0.4})
    (pre / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plot_layer_weights(np.array([0.25, 0.5, 0.25]), exp / "images/layer_weights.png")
    return exp


def test_rows_of_espnets_log(tmp_path):
    """Error rates in percent; the last line of an epoch counts; no row has a value that is no number."""
    one, two = espnet_rows(finetuned(tmp_path) / "train.log")
    expected = {"epoch": 1, "loss": 66.265, "grad_norm": 157.51, "valid_loss": 52.777, "valid_cer_ctc": 66.7, "learning_rate": 7.426e-4}
    assert one == pytest.approx(expected)
    assert two == pytest.approx({"epoch": 2, "loss": 11.5, "acc": 0.3, "valid_acc": 0.5, "valid_cer": 25.0, "valid_loss": 8.0, "learning_rate": 6e-5})
    assert espnet_rows(tmp_path / "no.log") == []


def test_a_fine_tuning_has_the_curves_of_its_pretraining(tmp_path):
    exp = finetuned(tmp_path)
    experiment = open_experiment(exp)
    assert (experiment.kind, upstream_of(experiment).kind) == ("finetuning", "pretraining") and sums_hidden_states(experiment)
    found = parsed(write_page([exp])[0])
    assert found.charts["training-accuracy"]["series"][1]["y"] == [50.0], "of the validation, in percent"
    masked = found.charts["pretraining-accuracy"]
    assert masked["x"] == "update" and masked["series"][0]["y"] == pytest.approx([10, 20, 30, 40, 50])
    assert "Pretraining: pre" in found.text and found.charts["weights-chart"]["series"][0]["y"] == [0.25, 0.5, 0.25]
    assert ["token_list", "33 values"] in found.tables["configuration"]
    (exp / "images/layer_weights.json").unlink()
    assert "No weights of the hidden states: stage 5" in parsed(write_page([exp])[0]).text
    (exp / "asr.yaml").write_text("frontend: default\n")
    (exp / "inference/config.yaml").unlink()
    text = parsed(write_page([exp])[0]).text
    assert "weights of the hidden states" not in text and "comparison of the layers" not in text, "log-mel features have neither"


def test_values_that_are_no_numbers_become_gaps(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    lines = ['{"update": 1, "epoch": 1, "loss": Infinity}', '{"update": 2, "epoch": 2, "loss": 3.0}', '{"epoch": 2, "update": 2, "valid_loss": NaN}']
    (tmp_path / "history.jsonl").write_text("\n".join(lines))
    found = parsed(write_page([tmp_path])[0])
    assert [one["y"] for one in found.charts["training-loss"]["series"]] == [[None, 3.0], [None]]
    assert found.column("training-values0", "loss") == ["–"]


def test_long_runs_are_thinned(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    with open(tmp_path / "history.jsonl", "w") as stream:
        stream.writelines(json.dumps({"update": n, "epoch": n / 100, "loss": float(n)}) + "\n" for n in range(1, 5001))
    rows = training_rows(open_experiment(tmp_path))
    (chart,) = charts([("run", rows)], "training")
    mean, values = chart.series
    assert 500 <= len(values.y) <= 1002 and values.y[0] == pytest.approx(4.5), "the mean of the first eight"
    assert mean.name == "training, running mean" and mean.y[99] == pytest.approx(np.mean(values.y[100 - len(values.y) // 20 : 100]))
    assert validations(rows, "values", "Values") is None and layer_comparison(open_experiment(tmp_path)) is None
    assert layer_weights(open_experiment(tmp_path)) is None
