"""Self-supervised recipes, all stages."""

import json
from pathlib import Path

import pytest

from asrlib.features.targets import read_targets

SMALL = (
    "model_conf.conv_channels=8 model_conf.dim=16 model_conf.ffn_dim=24 model_conf.heads=2 model_conf.layers=2 model_conf.conv_pos=8 "
    "model_conf.conv_pos_groups=2 model_conf.final_dim=8 model_conf.pitch_channels=8 model_conf.pitch_hidden=4 model_conf.speaker_layer=0 "
    "batch.batch_seconds=4 batch.min_seconds=0.2 batch.buckets=1 "
    "trainer.updates=2 trainer.log_interval=1 trainer.valid_interval=2 schedule.warmup_steps=1"
)
TUNING = (
    "num_workers=0 batch_bins=40000 max_epoch=1 log_interval=1 keep_nbest_models=1 "
    "preencoder_conf.output_size=8 encoder_conf.output_size=8 encoder_conf.attention_heads=2 "
    "encoder_conf.linear_units=8 encoder_conf.num_blocks=1 decoder_conf.attention_heads=2 decoder_conf.linear_units=8 decoder_conf.num_blocks=1"
)
MINI, HUBERT = (str(Path(__file__).resolve().parents[2] / f"conf/mini/{model}.yaml") for model in ("progre", "hubert"))


def test_every_stage_on_a_tiny_corpus(recipe, tones, tmp_path):
    """Two iterations of pretraining on a directory of its own, conversion, fine-tuning and decoding make their outputs; the second call skips all."""
    run = recipe("custom/progre")
    data = ["--train_dir", tones / "train", "--valid_dir", tones / "dev", "--test_dirs", tones / "test"]
    options = [*data, "--mini", "true", "--pretrain_configs", f"{MINI} {MINI}", "--targets", "mfcc 1", "--clusters", "4 3",
               "--pretrain_dirs", tones / "train", "--filter_sentences", "false",
               "--pretrain_args", SMALL, "--asr_args", TUNING, "--tag", "tiny", "--decode_modes", "joint"]  # fmt: skip
    assert "Successfully finished" in run(*map(str, options))
    exp, asr = tmp_path / "exp/tiny", next((tmp_path / "exp").glob("asr_conformer*_tiny"))
    assert (tmp_path / "exp/tiny_iteration1/model.safetensors").exists()
    assert (tmp_path / "dump/pretrain/targets/tiny_iteration1_layer1_km3.safetensors").exists()
    for made in ("model.safetensors", "config.yaml", "images/training.png", "pt/progre.pt", "compare/layers.png"):
        assert (exp / made).exists(), made
    for made in ("inference/model.pth", "images/layer_weights.png", "RESULTS.md"):
        assert (asr / made).exists(), made
    result = json.loads((asr / "decode_joint/test/score_wer/result.json").read_text())
    assert (result["utterances"], result["ref_units"], result["missing"]) == (4, 8, 0)
    assert run(*map(str, options)).count("skipped, nothing has changed") == 7


@pytest.mark.recipe
def test_every_stage_with_the_log_mel_front_end(recipe, tones, tmp_path):
    """Two iterations of a HuBERT with a frame every 40 ms: the second one's targets, too, have one every 40 ms; fine-tuned on its hidden states."""
    run, progres = recipe("custom/progre"), ("pitch_", "speaker_")
    small = " ".join(word for word in SMALL.split() if not word.removeprefix("model_conf.").startswith(progres))
    options = ["--train_dir", tones / "train", "--valid_dir", tones / "dev", "--test_dirs", tones / "test", "--mini", "true",
               "--upstream", "hubert_ms", "--pretrain_configs", f"{HUBERT} {HUBERT}", "--targets", "mfcc 1", "--clusters", "4 3",
               "--pretrain_args", f"{small} model_conf.frontend=logmel", "--asr_args", f"{TUNING} encoder_conf.input_layer=conv2d1",
               "--tag", "tiny", "--decode_modes", "joint"]  # fmt: skip
    assert "Successfully finished" in run(*map(str, options))
    first, second = (read_targets(tmp_path / f"dump/train/targets/{name}.safetensors") for name in ("km4", "tiny_iteration1_layer1_km3"))
    assert {utt: len(labels) for utt, labels in second.items()} == {utt: len(labels[::2]) for utt, labels in first.items()}
    assert json.loads((tmp_path / "exp/tiny/compare/result.json").read_text())["worst"] <= 5e-6
    asr = next((tmp_path / "exp").glob("asr_conformer*_tiny"))
    speech = json.loads((tmp_path / "dump" / asr.name / "train/speech.json").read_text())
    assert (speech["upstream"], speech["downsample_rate"]) == ("hubert_local", 640)
    result = json.loads((asr / "decode_joint/test/score_wer/result.json").read_text())
    assert (result["utterances"], result["ref_units"], result["missing"]) == (4, 8, 0)


@pytest.mark.recipe
def test_aishell1_mini(recipe, tmp_path):
    """Character error rate on unseen voices at most 30 %; pretraining beats random weights by an interval without zero."""
    run = recipe("aishell1/progre_large")
    run("--mini", "true", "--ablation", "true")
    exp = tmp_path / "exp"
    assert json.loads((exp / "asr_conformer_progre/decode_joint/test/score_cer/result.json").read_text())["error_rate"] <= 30.0
    lines = (exp / "asr_conformer_progre/RESULTS.md").read_text().splitlines()
    rows = [line.split("|") for line in lines if line.startswith("|decode_joint/test|char|")]
    (random,) = (row for row in rows if row[3].endswith("_random"))
    assert float(random[7].split(" to ")[1]) < 0
