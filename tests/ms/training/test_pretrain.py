"""Pretraining end to end on a few seconds of tones: batches, masks, output files, and resuming a killed run."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrlib.bin import make_targets
from asrlib.config.families import load_pretrain_config
from asrlib.config.pretraining import MaskConfig
from asrlib.corpora.kaldi_table import write_table
from asrlib.ms.data.masked import ContrastiveLoader, MaskedLoader
from asrlib.ms.data.masking import draw_mask
from asrlib.ms.data.waveforms import Targets, WaveformSet, make_buckets
from asrlib.ms.objectives.contrastive import Contrastive
from asrlib.ms.training.checkpoints import Checkpoints
from asrlib.ms.training.history import read_history
from asrlib.utils.arrays import read_metadata, read_safetensors
from asrlib.utils.errors import UserError

TINY = (
    "model_conf.conv_channels=8 model_conf.dim=16 model_conf.ffn_dim=24 model_conf.heads=2 model_conf.layers=2 model_conf.conv_pos=8 "
    "model_conf.conv_pos_groups=2 model_conf.final_dim=8 model_conf.layerdrop=0.2 batch.batch_seconds=3 batch.max_seconds=0.8 "
    "batch.min_seconds=0.2 batch.buckets=2 optim.learning_rate=1e-3 schedule.warmup_steps=3 "
    "trainer.updates=6 trainer.log_interval=1 trainer.valid_interval=3"
)
PROGRE = "model=progre model_conf.speaker_layer=0 model_conf.pitch_channels=8 model_conf.pitch_hidden=4 optim.accumulate=2"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Data directories train and dev with their targets: km (4 clusters), pitch, speakers."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for name, count in (("train", 12), ("dev", 3)):
        utts = [f"s{i % 2}-{name}{i:02d}" for i in range(count)]
        for i, utt in enumerate(utts):
            t = np.arange(int(16000 * (0.1 if i == 7 else rng.uniform(0.4, 1.2)))) / 16000
            sound = sum(np.sin(2 * np.pi * k * (120 + 90 * (i % 2)) * t) / k for k in range(1, 8)) * 0.1 + 0.01 * rng.normal(size=t.size)
            soundfile.write(folder / f"{utt}.wav", sound, 16000)
        write_table(folder / name / "wav.scp", {utt: str(folder / f"{utt}.wav") for utt in utts})
        write_table(folder / name / "utt2spk", {utt: utt[:2] for utt in utts})
        options = ["--data_dir", str(folder / name), "--dump_dir", str(folder / "dump" / name), "--nj", "1"]
        learnt = [] if name == "train" else ["--centroids", str(folder / "dump/train/targets/km.centroids.safetensors")]
        make_targets.main([*options, "--type", "mfcc", "--name", "km", "--num_clusters", "4", "--portion", "1.0", "--inits", "1", *learnt])
        make_targets.main([*options, "--type", "pitch"])
        make_targets.main([*options, "--type", "speakers"])
    return folder


def arguments(corpus, exp_dir, *overrides):
    folders = ["--train_dir", corpus / "train", "--valid_dir", corpus / "dev"]
    targets = ["--train_targets", corpus / "dump/train/targets", "--valid_targets", corpus / "dump/dev/targets", "--name", "km"]
    config = exp_dir.parent / "pretrain.yaml"
    config.write_text("model: hubert\n")
    words = ["--pretrain_config", config, "--pretrain_args", " ".join((TINY, *overrides)), *folders, *targets, "--exp_dir", exp_dir]
    return [sys.executable, "-m", "asrlib.bin.pretrain", *map(str, words)]


WAV2VEC2 = "model=wav2vec2 model_conf.codewords=8 model_conf.code_dim=8 loss.negatives=5 optim.accumulate=2"


def run(root, command):
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def copy_in_the_middle(command, exp, copy, root, rows):
    """Copies the files of a run when its history has that many rows, as after SIGKILL. The run continues; returns its exit code."""
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(root)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(read_history(exp)) < rows or not (exp / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    shutil.copytree(exp, copy)
    process.send_signal(signal.SIGCONT)
    return process.wait()


def test_masks():
    config = MaskConfig()
    masks = [draw_mask(400, config, np.random.default_rng(seed)) for seed in range(300)]
    starts = [int(mask[0]) + int((mask[1:] & ~mask[:-1]).sum()) for mask in masks]
    assert all(mask.sum() >= 10 and mask.sum() <= 330 for mask in masks) and max(starts) <= 33
    assert 0.48 < np.mean(masks) < 0.60, "32 spans of 10 in 400 frames, drawn without regard to overlap, cover about 1 - exp(-0.8) of them"
    assert draw_mask(3, config, np.random.default_rng(0)).any() and draw_mask(1, config, np.random.default_rng(0)).sum() <= 1


@pytest.fixture
def dataset(corpus):
    labels = read_safetensors(corpus / "dump/train/targets/km.safetensors")
    pitch = read_safetensors(corpus / "dump/train/targets/pitch.safetensors")
    config = load_pretrain_config(None, f"{TINY} {PROGRE}".split())
    return WaveformSet(corpus / "train", Targets(labels, pitch, dict.fromkeys(labels, 1)), config, train=True)


def test_batches_are_a_function_of_seed_epoch_and_place(dataset, tmp_path):
    dataset.set_aside(tmp_path / "aside.tsv")
    assert "train07" in (tmp_path / "aside.tsv").read_text()
    loader = MaskedLoader(dataset, make_buckets(dataset), 1, shuffle=True)
    first, again = list(loader.epoch(3)), list(loader.epoch(3, 1))
    for a, b in zip(first[1:], again, strict=True):
        assert a.utts == b.utts and all(np.array_equal(x, y) for x, y in zip(a.inputs(1.0, 0), b.inputs(1.0, 0), strict=True))
    assert {utt for batch in first for utt in batch.utts} == {item.utt for item in dataset.items}
    longest = dataset.config.model_conf.frames(round(0.8 * 16000))
    for batch in first:
        assert batch.mask.shape == batch.labels.shape == batch.pitch.shape and batch.mask.shape[1] <= longest + 16
        frames = np.array([dataset.config.model_conf.frames(int(n)) for n in batch.lengths])
        assert frames.max() <= longest
        for row, n in enumerate(frames):
            assert not batch.mask[row, n:].any() and batch.mask[row, :n].any() and not batch.wavs[row, batch.lengths[row] :].any()


def test_fingerprint(dataset, corpus):
    """Audio, targets and pitch count, even with the same lengths."""
    before, index = dataset.fingerprint(), 0
    dataset.items = [*dataset.items]
    item = dataset.items[index]
    changed = {"labels": item.labels + 1, "pitch": item.pitch + 1, "speaker": item.speaker + 1}
    for name, value in changed.items():
        dataset.items[index] = dataclasses.replace(item, **{name: value})
        assert dataset.fingerprint() != before, name
    dataset.items[index] = item
    assert dataset.fingerprint() == before
    path = Path(item.source.wav)
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1000] + bytes(1000))
        assert dataset.fingerprint() != before
    finally:
        path.write_bytes(content)


def test_crops_keep_labels_and_samples_together(dataset):
    """A crop's samples begin where its labels do."""
    index = max(range(len(dataset.items)), key=lambda i: dataset.items[i].frames)
    item = dataset.items[index]
    audio = item.source.audio(16000)
    for seed in range(5):
        cut, cropped = dataset.crop(index, np.random.default_rng(seed))
        starts = [s for s in range(0, len(audio), 320) if np.array_equal(audio[s : s + len(cut)], cut)]
        assert starts and np.array_equal(item.labels[starts[0] // 320 :][: cropped.frames], cropped.labels)
        assert dataset.config.model_conf.frames(len(cut)) == cropped.frames == len(cropped.pitch)


def test_targets_of_another_configuration(corpus):
    config = load_pretrain_config(None, [*TINY.split(), "model_conf.num_classes=2"])
    labels = read_safetensors(corpus / "dump/train/targets/km.safetensors")
    with pytest.raises(UserError, match="model_conf.num_classes=2"):
        WaveformSet(corpus / "train", Targets(labels, {}, {}), config, train=True)
    config = load_pretrain_config(None, f"{TINY} {PROGRE}".split())
    with pytest.raises(UserError, match="no pitch: run stage 2"):
        WaveformSet(corpus / "train", Targets(labels, {}, {}), config, train=True)


def test_targets_of_a_model_with_frames_of_40_ms(corpus):
    """Every second cluster of 20 ms and every second pitch; clusters of frames of 40 ms as they are, but not for a model with frames of 20 ms."""
    folder = corpus / "dump/train/targets"
    config = load_pretrain_config(None, f"{TINY} {PROGRE} model_conf.frontend=logmel".split())
    every = WaveformSet(corpus / "train", Targets.read(folder, "km", config, train=True), config, True)
    coarse = {utt: labels[::2] for utt, labels in read_safetensors(folder / "km.safetensors").items()}
    pitch = read_safetensors(folder / "pitch.safetensors")
    same = WaveformSet(corpus / "train", Targets(coarse, pitch, hop=640), config, True)
    for a, b in zip(every.items, same.items, strict=True):
        assert a.frames == config.model_conf.frames(len(a.source.audio(16000)))
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.pitch, pitch[a.utt][::2])
        np.testing.assert_array_equal(a.pitch, b.pitch)
    longest = max(range(len(every.items)), key=lambda i: every.items[i].frames)
    audio, item = every.crop(longest, np.random.default_rng(1))
    assert config.model_conf.frames(len(audio)) == item.frames == len(item.labels) == len(item.pitch) < every.items[longest].frames
    with pytest.raises(UserError, match="the clusters have a frame every 40 ms, the model every 20 ms"):
        WaveformSet(corpus / "train", Targets(coarse, pitch, hop=640), load_pretrain_config(None, f"{TINY} {PROGRE}".split()), True)


def test_contrastive_batches(corpus, tmp_path):
    config = load_pretrain_config(None, [*TINY.split(), *WAV2VEC2.split(), "loss.temperature_decay=0.5"])
    train, valid = (WaveformSet(corpus / name, None, config, train=name == "train") for name in ("train", "dev"))
    train.set_aside(tmp_path / "aside.tsv")
    assert "train07" in (tmp_path / "aside.tsv").read_text()
    loader = ContrastiveLoader(train, make_buckets(train), 1, shuffle=True)
    first, again = list(loader.epoch(3)), list(loader.epoch(3, 1))
    for a, b in zip(first[1:], again, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.inputs(1.0, 0), b.inputs(1.0, 0), strict=True))
    for batch in first:
        assert np.array_equal(batch.negatives.sum(2), 5 * batch.mask) and 0.3 < batch.noise.mean() < 0.9, "Gumbel noise has mean 0.577"
        assert [float(batch.inputs(1.0, update)[7]) for update in (0, 1, 9)] == [2.0, 1.0, 0.5]
    quiet = next(iter(ContrastiveLoader(valid, make_buckets(valid), 1, shuffle=False).epoch(0)))
    assert not quiet.noise.any() and quiet.keep.all()


def test_collapse_gives_a_warning():
    config = load_pretrain_config(None, ["model=wav2vec2"])
    objective = Contrastive(config, None, None)
    assert "perplexity 2.1 of 640" in objective.warning({"code_perplexity": 2.1}) and not objective.warning({"code_perplexity": 15.0})


@pytest.mark.recipe
def test_wav2vec2_resumes_exactly(corpus, tmp_path, root):
    """Resumed from the files in the middle of a run: the final weights, those of trainer.keep_updates and the best are the same."""
    whole, copy = tmp_path / "whole" / "exp", tmp_path / "copy" / "exp"
    whole.parent.mkdir()
    words = arguments(corpus, whole, WAV2VEC2, "batch.buckets=1", "trainer.save_interval=0", "trainer.keep_updates=[2,4]")
    (whole.parent / "pretrain.yaml").write_text("model: wav2vec2\n")
    command = [word for word in words if "targets" not in word and word not in ("--name", "km")]
    assert copy_in_the_middle(command, whole, copy, root, rows=4) == 0 and not (copy / "model.safetensors").exists()
    assert "resumed at epoch" in run(root, [str(copy) if word == str(whole) else word for word in command])
    best = next(row["name"] for row in Checkpoints(whole, 1).rows())
    for name in ("model", "checkpoints/update-000002", "checkpoints/update-000004", f"checkpoints/{best}"):
        mine, theirs = (read_safetensors(exp / f"{name}.safetensors") for exp in (copy, whole))
        assert set(mine) == set(theirs) and all(np.array_equal(mine[key], theirs[key]) for key in theirs), name
    rows = read_history(whole)
    losses = {row["update"]: row["valid_loss"] for row in rows if "valid_loss" in row}
    assert set(losses) == {2, 3, 4, 6}
    facts = read_metadata(whole / f"checkpoints/{best}.safetensors")
    assert float(facts["valid_loss"]) == min(losses.values()) == losses[int(facts["updates"])]
    assert all(1 <= row["code_perplexity"] <= 16 for row in rows if "code_perplexity" in row)
    assert (whole / "images/training.png").stat().st_size > 5000


def test_killed_and_started_again(corpus, tmp_path, root):
    """A run that is killed at any time and resumed has the weights of an uninterrupted one; with pitch, speakers and accumulation."""
    whole, killed = tmp_path / "whole" / "exp", tmp_path / "killed" / "exp"
    whole.parent.mkdir()
    command = arguments(corpus, whole, PROGRE, "batch.buckets=1", "trainer.save_interval=0")
    assert copy_in_the_middle(command, whole, killed, root, rows=2) == 0
    assert not (killed / "model.safetensors").exists() and (killed / "state.safetensors").exists()
    assert "resumed at epoch" in run(root, [str(killed) if word == str(whole) else word for word in command])
    mine, theirs = read_safetensors(killed / "model.safetensors"), read_safetensors(whole / "model.safetensors")
    assert all(np.array_equal(mine[name], theirs[name]) for name in theirs) and set(mine) == set(theirs)
    rows = read_history(killed)
    assert [row["update"] for row in rows if "masked_loss" in row] == [1, 2, 3, 4, 5, 6]
    assert all(0 <= row["valid_accuracy"] <= 1 for row in rows if "valid_accuracy" in row)
    assert "speaker_accuracy" in rows[0] and "valid_speaker_accuracy" in rows[-1]
    assert (killed / "images/training.png").stat().st_size > 5000


@pytest.mark.recipe
def test_two_processes_train_as_one(corpus, tmp_path, root):
    """Two CPU processes: the losses and the weights of one process on the same batches, added up."""
    together, alone = tmp_path / "together" / "exp", tmp_path / "alone" / "exp"
    for exp in (together, alone):
        exp.parent.mkdir()
    same = ("trainer.updates=5", "batch.buckets=1", "batch.batch_seconds=2")
    run(root, arguments(corpus, alone, *same, "optim.accumulate=2"))
    python, _, _, *options = arguments(corpus, together, *same)
    words = ["--processes", "2", "--log_dir", str(tmp_path / "log"), "--", "pretrain", *options]
    done = subprocess.run([python, "-m", "asrlib.bin.launch", *words], capture_output=True, text=True, check=False, timeout=300,
                          env=os.environ | {"PYTHONPATH": str(root)})  # fmt: skip
    logs = "".join(path.read_text(errors="replace")[-2000:] for path in (tmp_path / "log").glob("*.log"))
    assert done.returncode == 0, done.stderr[-2000:] + logs
    one, two = ([row["loss"] for row in read_history(exp) if "masked_loss" in row] for exp in (alone, together))
    assert len(one) == 5 and np.allclose(one, two, rtol=1e-5), (one, two)
    mine, theirs = read_safetensors(together / "model.safetensors"), read_safetensors(alone / "model.safetensors")
    assert all(np.allclose(mine[name], theirs[name], rtol=1e-3, atol=1e-4) for name in theirs)


def test_pretraining_by_epochs(corpus, tmp_path, root):
    """What CTC training has: a limit in epochs, the best weights as the model, their moving average, and recomputed layers."""
    exp = tmp_path / "exp"
    more = ("trainer.epochs=1 trainer.updates=0 trainer.valid_unit=epochs trainer.valid_interval=1 trainer.final=best trainer.ema=0.5",
            "trainer.recompute=true batch.buckets=1")  # fmt: skip
    run(root, arguments(corpus, exp, "model_conf.num_classes=4", *more))
    (validation,) = [row for row in read_history(exp) if "valid_loss" in row]
    assert validation["epoch"] == 1 and [row["name"] for row in Checkpoints(exp, 1).rows()] == ["epoch-001"]
    model, best = (read_safetensors(exp / name) for name in ("model.safetensors", "checkpoints/epoch-001.safetensors"))
    assert all(np.array_equal(model[name], best[name]) for name in best) and all(np.isfinite(array).all() for array in model.values())
