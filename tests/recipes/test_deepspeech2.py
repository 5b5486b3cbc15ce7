"""DeepSpeech2 recipes, all stages."""

import pytest


def test_every_stage_on_a_tiny_corpus(recipe, tones, tmp_path):
    """All stages with a network of a few thousand weights make their outputs; the second call skips all of them."""
    run = recipe("custom/deepspeech2")
    small = "model_conf.conv_channels=2 model_conf.hidden_size=8 model_conf.hidden_layers=2 trainer.epochs=1 batch.batch_size=4 batch.buckets=1"
    options = ["--train_dir", tones / "train", "--valid_dir", tones / "dev", "--test_dirs", tones / "test", "--train_args", small, "--tag", "tiny"]
    assert "Successfully finished" in run(*map(str, options))
    exp = tmp_path / "exp/tiny"
    for made in ("model.safetensors", "config.yaml", "images/training.png", "pt/model.safetensors", "compare", "mindir", "RESULTS.md"):
        assert (exp / made).exists(), made
    result = run.result("tiny", "test")
    assert (result["utterances"], result["ref_units"]) == (4, 8)
    again = run(*map(str, options))
    assert again.count("skipped, nothing has changed") == 7
    changed = run(*map(str, options), "--decode_modes", "greedy beam", "--stage", "6")
    assert "stage 6: decoding and scoring: runs again, its options have changed" in changed
    assert run.result("tiny", "test", mode="beam")["ref_units"] == 8


@pytest.mark.recipe
def test_librispeech_mini(recipe, tmp_path):
    """Greedy WER on unseen voices is at most 10 %; the second call skips all stages."""
    run = recipe("librispeech/deepspeech2")
    assert "Successfully finished" in run("--mini", "true")
    result = run.result("deepspeech2", "test_clean")
    assert result["ref_units"] > 900 and result["missing"] == 0 and result["error_rate"] <= 10
    assert run("--mini", "true").count("skipped, nothing has changed") == 7


@pytest.mark.recipe
def test_spoken_digits(recipe, shared):
    """Real recordings at 8 kHz with default options: WER is at most 5 %."""
    run = recipe("custom/deepspeech2")
    run("--train_dir", str(shared / "speech/fsdd/data/train"), "--test_dirs", str(shared / "speech/fsdd/data/test"))
    result = run.result("deepspeech2", "test")
    assert result["ref_units"] == 200 and result["error_rate"] <= 5


@pytest.mark.recipe
def test_real_recordings_of_librispeech(recipe, shared):
    """206 real utterances through all stages make complete tables, whatever the error rate."""
    run = recipe("librispeech/deepspeech2")
    sets = ["--train_sets", "train-clean-100", "--valid_sets", "dev-clean", "--test_sets", "test-clean test-other"]
    config = str(run.script.parents[3] / "conf/mini/deepspeech2.yaml")
    run("--corpus_dir", str(shared / "speech/librispeech/LibriSpeech"), *sets, "--train_config", config)
    for test_set, utterances in (("test_clean", 7), ("test_other", 25)):
        assert run.result("deepspeech2", test_set)["utterances"] == utterances
        assert run.result("deepspeech2", test_set, "cer")["ref_units"] > 0
