"""Pretraining targets against torchaudio, scikit-learn, pyworld and definitions."""

import json

import numpy as np
import pytest
import pyworld
import soundfile
import torch
import torchaudio
from sklearn.metrics import mutual_info_score

from asrlib.bin import make_targets
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.features import kmeans, mfcc, targets
from asrlib.features.pitch import pitch
from asrlib.features.quality import cluster_quality, even_alignment
from asrlib.features.speakers import speaker_clusters, speaker_labels, voice
from asrlib.features.targets import read_hop, read_speakers, read_targets
from asrlib.utils.errors import UserError

RNG = np.random.default_rng(0)


def tone(frequency, seconds=0.6):
    """A voice-like sound: a sum of harmonics in a little noise."""
    t = np.arange(int(16000 * seconds)) / 16000
    return (sum(np.sin(2 * np.pi * k * frequency * t) / k for k in range(1, 12)) * 0.1 + 0.001 * RNG.normal(size=t.size)).astype(np.float32)


@pytest.mark.parametrize("samples", [400, 719, 720, 8000, 16123])
def test_mfcc_are_those_of_hubert(samples):
    """torchaudio's Kaldi MFCC and compute_deltas, as fairseq's simple_kmeans calls them; every second frame is one of the convolutions'."""
    audio = (RNG.normal(size=samples) * 0.1).astype(np.float32)
    wave = torch.tensor(audio)[None]
    static = torchaudio.compliance.kaldi.mfcc(wave, sample_frequency=16000, use_energy=False).T
    first = torchaudio.functional.compute_deltas(static)
    expected = torch.cat([static, first, torchaudio.functional.compute_deltas(first)]).T.numpy()[::2]
    found = mfcc.mfcc_frames(audio, "u")
    assert found.shape == (mfcc.num_frames(samples), 39)
    np.testing.assert_allclose(found, expected[: len(found)], atol=2e-3)


def test_frames_are_those_of_the_convolutions():
    for samples in (399, 400, 719, 720, 16000, 250000):
        length = samples
        for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
            length = (length - kernel) // stride + 1
        assert mfcc.num_frames(samples) == max(0, length)
    with pytest.raises(UserError, match="utterance x: 399 samples are shorter than one frame"):
        mfcc.mfcc_frames(np.zeros(399, np.float32), "utterance x")


def test_kmeans_finds_planted_clusters(tmp_path):
    centres = RNG.normal(size=(5, 39)) * 20
    truth = RNG.integers(0, 5, 3000)
    frames = (centres[truth] + RNG.normal(size=(3000, 39))).astype(np.float32)
    centroids = kmeans.learn(frames, 5, seed=1, inits=3)
    found = kmeans.nearest(frames, centroids)
    assert np.linalg.norm(frames[:, None] - centroids[None], axis=2).argmin(1).tolist() == found.tolist()
    assert mutual_info_score(truth, found) == pytest.approx(mutual_info_score(truth, truth), abs=1e-9)
    kmeans.save_centroids(tmp_path / "c.safetensors", centroids, type="mfcc")
    np.testing.assert_array_equal(kmeans.load_centroids(tmp_path / "c.safetensors"), centroids)
    with pytest.raises(UserError, match="4 frames are too few for 5 clusters"):
        kmeans.learn(frames[:4], 5)


def test_pitch_at_a_lower_rate():
    audio = tone(120)
    for frames in (2, 4):
        np.testing.assert_array_equal(pitch(audio, 320 * frames), pitch(audio)[::frames])


def test_pitch_is_normalised_log_f0():
    audio = np.concatenate([tone(120), np.zeros(4000, np.float32), tone(200)])
    curve = pitch(audio)
    f0, _ = pyworld.dio(audio.astype(float), 16000, frame_period=20.0)
    f0 = f0[: mfcc.num_frames(len(audio))]
    assert curve.shape == f0.shape and (curve[f0 == 0] == 0).all() and (f0 > 0).sum() > 30
    logs = np.log(f0[f0 > 0])
    np.testing.assert_allclose(curve[f0 > 0], (logs - logs.mean()) / logs.std(), rtol=1e-4, atol=1e-5)
    assert curve[:25].mean() < 0 < curve[-25:].mean(), "the lower tone, the higher tone"
    assert not pitch(np.zeros(8000, np.float32)).any(), "silence has no pitch"


def test_quality():
    clusters, units = RNG.integers(0, 7, 2000), RNG.integers(0, 4, 2000)
    units = np.where(RNG.random(2000) < 0.6, clusters % 4, units)
    found = cluster_quality([(clusters[:900], [str(u) for u in units[:900]]), (clusters[900:], [str(u) for u in units[900:]])])
    shares = np.bincount(units) / 2000
    assert found["pnmi"] == pytest.approx(mutual_info_score(clusters, units) / -(shares * np.log(shares)).sum())
    assert found["unit_purity"] == pytest.approx(sum(np.bincount(units[clusters == c]).max() for c in range(7)) / 2000)
    assert found["cluster_purity"] == pytest.approx(sum(np.bincount(clusters[units == u]).max() for u in range(4)) / 2000)
    assert found["clusters_used"] == 7
    perfect = cluster_quality([(np.array([3, 3, 5]), ["a", "a", "b"])])
    assert perfect["pnmi"] == perfect["unit_purity"] == 1 and cluster_quality([(np.array([1, 1]), ["a", "a"])])["pnmi"] == 0
    assert even_alignment(list("ab"), 5) == ["a", "a", "a", "b", "b"] and even_alignment([], 3) == []


def test_speakers():
    assert speaker_labels({"u1": "b", "u2": "a", "u3": "b"}) == {"u1": 1, "u2": 0, "u3": 1}
    voices = {f"{f}-{i}": voice(tone(f)) for f in (100, 220) for i in range(4)}
    found = speaker_clusters(voices, 2)
    assert len({found[f"100-{i}"] for i in range(4)}) == 1 and found["100-0"] != found["220-0"]
    assert np.isfinite(voice(np.zeros(8000, np.float32))).all(), "silence"
    with pytest.raises(UserError, match="8 utterances are too few for 9 speaker clusters"):
        speaker_clusters(voices, 9)


@pytest.fixture
def corpus(tmp_path):
    """Six utterances of two voices, one of silence, one of 10 ms."""
    import soundfile

    folder = tmp_path / "data"
    sounds = {f"s{i % 2}-{i}": tone((110, 210)[i % 2], 0.5 + 0.1 * i) for i in range(6)}
    sounds |= {"s2-silence": np.zeros(9000, np.float32), "s2-tiny": np.zeros(160, np.float32)}
    for utt, audio in sounds.items():
        soundfile.write(tmp_path / f"{utt}.wav", audio, 16000)
    write_table(folder / "wav.scp", {utt: str(tmp_path / f"{utt}.wav") for utt in sounds})
    write_table(folder / "utt2spk", {utt: utt.split("-")[0] for utt in sounds})
    write_table(folder / "text", dict.fromkeys(sounds, "AB"))
    return folder


def test_commands(corpus, tmp_path, capsys, caplog):
    dump = tmp_path / "dump"
    options = ["--data_dir", str(corpus), "--dump_dir", str(dump), "--nj", "2"]
    make_targets.main([*options, "--type", "mfcc", "--name", "km4", "--num_clusters", "4", "--portion", "1.0", "--inits", "2"])
    labels = read_targets(dump / "targets/km4.safetensors")
    assert len(labels) == 7 and labels["s0-0"].dtype == np.uint16 and len(labels["s0-0"]) == mfcc.num_frames(8000)
    assert read_hop(dump / "targets/km4.safetensors") == 320
    assert (dump / "targets/km4.too_short.txt").read_text() == "s2-tiny\n"
    assert "pnmi" in capsys.readouterr().out and "approximate" in json.loads((dump / "targets/km4.quality.json").read_text())["alignment"]
    centroids = kmeans.load_centroids(dump / "targets/km4.centroids.safetensors")
    expected = kmeans.nearest(mfcc.mfcc_frames(tone_of(corpus, "s0-0"), "u"), centroids)
    np.testing.assert_array_equal(labels["s0-0"], expected)
    learnt = ["--type", "mfcc", "--name", "few", "--num_clusters", "4", "--portion", "1.0", "--inits", "1"]
    make_targets.main([*options, *learnt, "--max_gb", "12e-6"])
    assert "k-means learns from 70 of 246 frames: raise --max_gb 1.2e-05" in caplog.text
    other = ["--data_dir", str(corpus), "--dump_dir", str(tmp_path / "again"), "--nj", "1"]
    make_targets.main([*other, "--type", "mfcc", "--name", "km4", "--centroids", str(dump / "targets/km4.centroids.safetensors")])
    for utt, array in read_targets(tmp_path / "again/targets/km4.safetensors").items():
        np.testing.assert_array_equal(array, labels[utt])

    make_targets.main([*options, "--type", "pitch"])
    curves = read_targets(dump / "targets/pitch.safetensors")
    assert {utt: len(x) for utt, x in curves.items()} == {utt: len(x) for utt, x in labels.items()}
    assert not curves["s2-silence"].any() and curves["s0-0"].any()

    make_targets.main([*options, "--type", "speakers"])
    assert read_speakers(dump / "targets/speakers.json") == (3, {utt: utt[1] for utt in [*labels, "s2-tiny"]})
    make_targets.main([*options, "--type", "speakers", "--speakers", "clusters", "--num_speakers", "3"])
    classes, numbers = read_speakers(dump / "targets/speakers.json")
    assert classes == 3 and numbers["s0-0"] == numbers["s0-2"] != numbers["s1-1"]


def test_speakers_of_a_large_file(tmp_path, monkeypatch):
    """Read block by block, as the standard library reads it; a damaged file is refused."""
    monkeypatch.setattr(targets, "BLOCK", 7)
    path, numbers = tmp_path / "speakers.json", {f'é{number}\\"-{{': number * 37 % 1000 for number in range(50)} | {"classes": 3, "b": 12345}
    path.write_text(json.dumps({"classes": 1000, "utterances": numbers}))
    assert read_speakers(path) == (1000, {utt: str(number) for utt, number in numbers.items()})
    path.write_text(path.read_text()[:-20])
    with pytest.raises(UserError, match="damaged: run stage 2 again"):
        read_speakers(path)
    path.write_text("[]")
    with pytest.raises(UserError, match="damaged"):
        read_speakers(path)


KINDS = [["mfcc", "--num_clusters", "2", "--portion", "1", "--inits", "1"], ["pitch"], ["speakers", "--speakers", "clusters", "--num_speakers", "2"]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nj", ["1", "2"])
def test_what_cannot_be_read_is_passed_over(corpus, tmp_path, kind, nj, logged):
    """The others have targets; the faults are logged and listed, their number ends the log, and the exit code is 1."""
    (tmp_path / "s0-0.wav").write_text("no audio")
    (tmp_path / "s1-1.wav").write_bytes((tmp_path / "s1-1.wav").read_bytes()[:-2000])
    rows = read_table(corpus / "wav.scp").rows
    write_table(corpus / "wav.scp", rows | {"s0-2": str(tmp_path / "missing.wav"), "s1-3": f"cat {rows['s1-3']} |"})
    bad = {"s0-0": "is not wav, flac or ogg", "s0-2": "missing.wav does not exist", "s1-1": "truncated", "s1-3": "has the command"}
    options = ["--data_dir", str(corpus), "--dump_dir", str(tmp_path / "dump"), "--nj", nj, "--type", *kind]
    assert make_targets.main(options) == 1
    (listing,) = (tmp_path / "dump/targets").glob("*.bad_utts.txt")
    found = read_table(listing).rows
    assert list(found) == list(bad) and all(found[utt].startswith(f"utterance {utt}: ") and part in found[utt] for utt, part in bad.items())
    assert [line for line in logged if "passed over: utterance" in line] == [f"passed over: {reason}" for reason in found.values()]
    assert logged[-1].startswith(f"{corpus}: 4 utterances passed over, listed in {listing}")
    targets = tmp_path / "dump/targets"
    name = listing.name.partition(".")[0]
    made = read_speakers(targets / "speakers.json")[1] if kind[0] == "speakers" else read_targets(targets / f"{name}.safetensors")
    assert sorted(made) == ["s0-4", "s1-5", "s2-silence"]
    write_table(corpus / "wav.scp", dict.fromkeys(rows, rows["s0-4"]))
    assert make_targets.main(options) == 0 and not listing.exists()


def test_nothing_that_can_be_read(corpus, tmp_path):
    for utt in read_table(corpus / "utt2spk").rows:
        (tmp_path / f"{utt}.wav").write_bytes(b"")
    none = "no utterance can be read, utterance"
    for kind, message in zip(KINDS, ("drawn for k-means can be read, utterance", none, none), strict=True):
        with pytest.raises(UserError, match=message):
            make_targets.main(["--data_dir", str(corpus), "--dump_dir", str(tmp_path / "dump"), "--nj", "1", "--type", *kind])


def tone_of(corpus, utt):
    import soundfile

    return soundfile.read(corpus.parent / f"{utt}.wav", dtype="float32")[0]


def test_too_few_frames_and_targets_not_made(corpus, tmp_path):
    options = ["--data_dir", str(corpus), "--dump_dir", str(tmp_path / "dump"), "--nj", "1", "--type", "mfcc"]
    with pytest.raises(UserError, match="frames are too few for 5000 clusters"):
        make_targets.main([*options, "--num_clusters", "5000", "--inits", "1"])
    with pytest.raises(UserError, match="km.safetensors is missing: run stage 2"):
        read_targets(tmp_path / "dump/targets/km.safetensors")


def test_clips_shorter_than_a_frame(tmp_path, logged):
    """They are skipped and listed; a directory of nothing else is refused in one line."""
    counts = (1, 16, 160, 399, 400, 1600)
    for count in counts:
        soundfile.write(tmp_path / f"{count}.wav", 0.1 * RNG.normal(size=count), 16000)
    write_table(tmp_path / "wav.scp", {f"s-{count}": str(tmp_path / f"{count}.wav") for count in counts})
    write_table(tmp_path / "utt2spk", {f"s-{count}": "s" for count in counts})
    kinds = [["mfcc", "--num_clusters", "2", "--portion", "1"], ["pitch"], ["speakers", "--speakers", "clusters", "--num_speakers", "2"]]
    for kind, *options in kinds:
        make_targets.main(["--data_dir", str(tmp_path), "--dump_dir", str(tmp_path / kind), "--nj", "1", "--type", kind, *options])
        (listing,) = (tmp_path / kind / "targets").glob("*.too_short.txt")
        assert listing.read_text().split() == ["s-1", "s-16", "s-160", "s-399"]
    assert sorted(read_targets(tmp_path / "pitch/targets/pitch.safetensors")) == ["s-1600", "s-400"]
    for name in ("wav.scp", "utt2spk"):
        write_table(tmp_path / name, {utt: value for utt, value in read_table(tmp_path / name).rows.items() if utt not in ("s-400", "s-1600")})
    for kind, *options in kinds:
        with pytest.raises(UserError, match="as long as a frame"):
            make_targets.main(["--data_dir", str(tmp_path), "--dump_dir", str(tmp_path / kind), "--nj", "1", "--type", kind, *options])
