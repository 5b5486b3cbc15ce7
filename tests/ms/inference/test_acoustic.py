"""Inference with a trained model: single utterances and batches; validation and decoding agree with it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.config.features import FeatureConfig
from asrlib.corpora.audio import read_audio
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.decode.beam import BeamConfig
from asrlib.decode.greedy import collapse
from asrlib.features.ark import read_matrix
from asrlib.features.extract import extract
from asrlib.ms.data.batches import BatchLoader, make_buckets
from asrlib.ms.data.dataset import Dataset
from asrlib.ms.inference.acoustic import BATCH_FRAMES, AcousticModel, CtcTranscriber, _batches
from asrlib.ms.inference.decode import decode_dumps
from asrlib.ms.objectives.ctc import Ctc
from asrlib.ms.training.history import read_history
from asrlib.ms.training.memory_plan import Parts
from asrlib.score.error_rate import count_errors
from asrlib.utils.errors import UserError
from tests.ms.conftest import TRAIN, VALID


@pytest.fixture(scope="module")
def model(trained):
    return AcousticModel.load(trained)


def features(folder):
    return [read_matrix(location, utt) for utt, location in read_table(folder / "feats.scp").rows.items()]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=100))
def test_batches(frames):
    """Each utterance once, in a batch that is long enough; few shapes, none much larger than two minutes."""
    batches = _batches(np.array(frames))
    assert sorted(i for *_, members in batches for i in members) == list(range(len(frames)))
    for edge, size, members in batches:
        assert 0 < len(members) <= size and max(frames[i] for i in members) <= edge
        assert edge * size <= max(BATCH_FRAMES, edge)
    assert len({(edge, size) for edge, size, _ in batches}) <= 7


def test_log_probs(model, dump):
    """Probabilities in the given order, the same as for single utterances."""
    feats = features(dump / "train")
    together = model.log_probs(feats)
    assert [x.shape for x in together] == [((len(x) - 1) // 2 + 1, 5) for x in feats]
    backwards = model.log_probs(feats[::-1])[::-1]
    for i, scores in enumerate(together):
        assert scores.dtype == np.float32
        np.testing.assert_allclose(np.exp(scores).sum(-1), 1, rtol=1e-5)
        np.testing.assert_allclose(backwards[i], scores, atol=1e-5)
    np.testing.assert_allclose(model.log_probs(feats[:1])[0], together[0], atol=1e-5)


def test_validation_agrees_with_the_history(model, trained, dump):
    """The weights of the last checkpoint have the scores that training wrote down, and those of log_probs scored by hand."""
    data = Dataset(dump / "valid", model.tokenizer, model.config, train=False)
    objective = Ctc(model.config, data, data, model.tokenizer)
    objective.valid_loader = BatchLoader(data, make_buckets(data, 1, 4, 0), 1, shuffle=False)
    last = AcousticModel.load(trained, trained / "checkpoints" / "epoch-003.safetensors")
    paths = [np.argmax(x, -1) for x in last.log_probs(features(dump / "valid"))]
    scores = objective.validate(last.network, Parts(), 0)  # leaves the network in training mode
    row = [row for row in read_history(trained) if "valid_loss" in row][-1]
    assert scores == {key: pytest.approx(row[key], rel=1e-6) for key in scores}
    hyps = [model.tokenizer.decode(collapse(path, model.tokenizer.blank)) for path in paths]
    assert scores["valid_wer"] == count_errors(VALID, hyps, "word").error_rate
    assert scores["valid_cer"] == count_errors(VALID, hyps, "char").error_rate
    assert scores["blank_ratio"] == pytest.approx(np.mean(np.concatenate(paths) == model.tokenizer.blank))


@pytest.mark.parametrize(("utterances", "shapes"), [(20, 1), (300, 2), (3000, 6)])
def test_as_many_shapes_as_pay(utterances, shapes):
    """Every utterance once, in a batch that is long enough; few shapes for little speech."""
    frames = np.random.default_rng(0).integers(100, 900, utterances)
    batches = _batches(frames)
    assert sorted(i for *_, members in batches for i in members) == list(range(utterances))
    assert all(len(members) <= size and frames[members].max() <= edge and edge % 64 == 0 and edge * size <= 12_000 for edge, size, members in batches)
    assert len({(edge, size) for edge, size, _ in batches}) == shapes


def test_decode_dumps(model, dump, tmp_path, monkeypatch):
    """A hypothesis for every utterance, for any chunks; greedy ones computed by hand."""
    arguments = model, [dump / "train", dump / "valid"]
    decode_dumps(*arguments, tmp_path / "once", ["greedy", "beam"], BeamConfig(), nj=1)
    monkeypatch.setattr("asrlib.ms.inference.decode.CHUNK_FRAMES", 150)
    decode_dumps(*arguments, tmp_path / "chunks", ["beam", "greedy"], BeamConfig(), nj=1)
    for mode in ("greedy", "beam"):
        lines = (tmp_path / f"once/decode_{mode}/train/text").read_text().splitlines()
        assert [line.split(" ")[0] for line in lines] == [f"train-{i}" for i in range(len(TRAIN))]
        assert (tmp_path / f"chunks/decode_{mode}/train/text").read_text().splitlines() == lines
        if mode == "greedy":
            paths = [np.argmax(x, -1) for x in model.log_probs(features(dump / "train"))]
            assert [line.partition(" ")[2] for line in lines] == [model.tokenizer.decode(collapse(path, model.tokenizer.blank)) for path in paths]
        facts = json.loads((tmp_path / f"once/decode_{mode}/train/rtf.json").read_text())
        assert facts["audio_seconds"] == pytest.approx(sum(len(x) for x in features(dump / "train")) * 0.01, abs=0.01)
        assert facts["real_time_factor"] > 0
        assert (tmp_path / f"once/decode_{mode}/valid/text").exists()


def test_nothing_to_decode(model, tmp_path):
    with pytest.raises(UserError, match="feats.scp is missing: run stage 2"):
        decode_dumps(model, [tmp_path], tmp_path / "out", ["greedy"], BeamConfig())


@pytest.fixture
def copied(trained, tmp_path):
    for name in ("config.yaml", "tokens.txt", "model.safetensors"):
        shutil.copy(trained / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.safetensors", "model.safetensors is missing: run stage 3"),
        ("tokens.txt", "tokens.txt: no such token list"),
        ("config.yaml", "config.yaml: no such configuration file"),
    ],
)
def test_missing_file(copied, name, message):
    (copied / name).unlink()
    with pytest.raises(UserError, match=message):
        AcousticModel.load(copied)


def test_model_of_other_labels(copied):
    (copied / "tokens.txt").write_text("A\nB\n<blank>\n")
    with pytest.raises(UserError, match=r"not a checkpoint of this model .*fc.weight: file \(5, 8\), model \(3, 8\)"):
        AcousticModel.load(copied)


def test_features_of_another_kind(model, own_dump, tmp_path):
    folder = own_dump(["A"])
    extract(tmp_path / "data" / "train", folder, FeatureConfig())
    with pytest.raises(UserError, match="utterance train-0: features of 161 bins where the configuration has 21: run stage 2 again with it"):
        decode_dumps(model, [folder], tmp_path / "out", ["greedy"], BeamConfig())


def test_damaged_model(copied):
    (copied / "model.safetensors").write_bytes((copied / "model.safetensors").read_bytes()[:-10])
    with pytest.raises(UserError, match="model.safetensors: damaged checkpoint"):
        AcousticModel.load(copied)


def test_clips_shorter_than_a_frame_have_empty_texts(trained, tmp_path):
    """Windows of 40 samples at 2 kHz: 39 samples have features, but no text, alone and in a dump."""
    counts = (1, 2, 39, 40, 400)
    for count in counts:
        soundfile.write(tmp_path / f"s-{count}.wav", 0.3 * np.sin(np.arange(count)), 2000)
    transcriber = CtcTranscriber(trained)
    outputs = transcriber.log_probs([read_audio(tmp_path / f"s-{count}.wav", transcriber.rate) for count in counts])
    assert [len(x) > 0 for x in outputs] == [False, False, False, True, True]
    assert all(x.shape[1] == len(transcriber.tokens) for x in outputs)
    assert [len(x) for x in transcriber.log_probs([np.zeros(0, np.float32), np.zeros(3, np.float32)])] == [0, 0]
    write_table(tmp_path / "data/wav.scp", {f"s-{count}": str(tmp_path / f"s-{count}.wav") for count in counts})
    write_table(tmp_path / "data/utt2spk", {f"s-{count}": "s" for count in counts})
    extract(tmp_path / "data", tmp_path / "dump/clips", transcriber.features)
    decode_dumps(transcriber.model, [tmp_path / "dump/clips"], tmp_path / "out", ["greedy", "beam"], BeamConfig(), 1)
    for mode in ("greedy", "beam"):
        texts = read_table(tmp_path / f"out/decode_{mode}/clips/text").rows
        assert len(texts) == 5 and not any(texts[f"s-{count}"] for count in (1, 2, 39))


def test_transcribing_needs_mindspore_alone(trained, dump, tmp_path, root):
    """The texts of files are those of the decoding, and PyTorch is not imported."""
    decode_dumps(AcousticModel.load(trained), [dump / "valid"], tmp_path / "decoded", ["greedy"], BeamConfig())
    expected = read_table(tmp_path / "decoded/decode_greedy/valid/text").rows
    wavs = KaldiDir.read(dump / "valid").wav
    options = ["--exp_dir", str(trained), "--out", str(tmp_path / "text"), *wavs.values()]
    code = f"import sys; from asrlib.bin import transcribe; transcribe.main({options!r}); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(line.partition(" ")[::2] for line in (tmp_path / "text").read_text().splitlines())
    assert found == {Path(wavs[utt]).stem: text for utt, text in expected.items()}
    assert "real-time factor" in done.stderr
