"""Dumps for ESPnet: hidden states as the upstream gives them, audio in one form, what is set aside, and what a killed run leaves."""

import shutil
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch

from asrlib.bin import dump_speech
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_ops import concat
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.pt import dump as module
from asrlib.pt.dump import Caching, Limits, dump, estimate_bytes, read_speech, upstream_to_cache
from asrlib.pt.s3prl_upstream import describe_upstream, load_upstream
from asrlib.utils import space
from asrlib.utils.errors import UserError


@pytest.fixture
def upstream(progre_package):
    return describe_upstream("progre_local", str(progre_package))


def test_states_are_the_upstreams(tones_dir, upstream, tmp_path):
    assert dump(tones_dir / "train", tmp_path, upstream, Limits(), 1) == (13, {})
    assert (read_speech(tmp_path).kind, read_speech(tmp_path).layers) == ("states", 6)
    utterance = list(KaldiDir.read(tones_dir / "train").utterances())[5]
    audio = utterance.audio(16000)
    with torch.no_grad():
        layers, _ = load_upstream(upstream)(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
    written = kaldiio.load_scp(str(tmp_path / "feats.scp"))[utterance.id]
    np.testing.assert_array_equal(written.reshape(len(written), 6, 16), torch.stack(layers, 2)[0].numpy())
    assert read_table(tmp_path / "speech_shape").rows[utterance.id] == str(len(audio))
    assert read_table(tmp_path / "text").rows == KaldiDir.read(tones_dir / "train").text
    frames = sum(len(matrix) for matrix in kaldiio.load_scp(str(tmp_path / "feats.scp")).values())
    assert abs(estimate_bytes(tones_dir / "train", upstream) / (frames * 6 * 16 * 4) - 1) < 0.1


def test_audio_of_another_form_is_written_anew(tones_dir, tmp_path):
    dump(tones_dir / "train", tmp_path, None, Limits(), 1)
    paths = read_table(tmp_path / "wav.scp").rows
    info = soundfile.info(paths["s0-train00-1"])
    assert (info.samplerate, info.channels, info.frames) == (16000, 1, 12800)
    soundfile.write(tmp_path / "whole.wav", np.zeros(8000), 16000)
    for table, value in (("wav.scp", tmp_path / "whole.wav"), ("utt2spk", "a"), ("text", "A")):
        (tmp_path / "plain").mkdir(exist_ok=True)
        (tmp_path / "plain" / table).write_text(f"a {value}\n")
    dump(tmp_path / "plain", tmp_path / "out", None, Limits(), 1)
    assert read_table(tmp_path / "out/wav.scp").rows == {"a": str(tmp_path / "whole.wav")}  # as it is


def test_what_cannot_be_trained_on_is_set_aside(tones_dir, upstream, tmp_path):
    assert dump(tones_dir / "train", tmp_path, upstream, Limits(shortest=0.5), 1) == (12, {})
    assert (tmp_path / "set_aside.tsv").read_text() == "s0-train00-0\t0.400 seconds, outside 0.5 to 20\n"
    with pytest.raises(UserError, match="no utterance left"):
        dump(tones_dir / "train", tmp_path, upstream, Limits(longest=0.2), 1)


def test_hidden_states_are_cached_where_they_fit(tones_dir, upstream, tmp_path, monkeypatch):
    folders = [tones_dir / "train", tones_dir / "dev"]
    size = sum(estimate_bytes(folder, upstream) for folder in folders) / 1e9
    config = tmp_path / "asr.yaml"
    config.write_text("freeze_param: []\n")

    def choice(*caching, name=upstream.name):
        return upstream_to_cache(name, upstream.path, folders, tmp_path / "out", Caching(*caching))

    assert choice("auto", 1.01 * size) == choice("true", 0.0) == choice("auto", 1.0, config, ["freeze_param=[frontend.upstream]"]) == upstream
    assert choice("auto", 0.99 * size) is choice("false") is choice("true", name="") is choice("auto", 1.0, config) is None
    with pytest.raises(UserError, match="--cache_states true: .*asr.yaml trains the upstream"):
        choice("true", 1.0, config)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="out: the hidden states will take .* 0.0 GB are free: .*--cache_states false"):
        choice("true")
    assert choice("false") is None


def test_a_killed_run_goes_on(tones_dir, upstream, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART", 4)
    done = []
    original = module.load_upstream

    def load_twice(source):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return original(source)

    monkeypatch.setattr(module, "load_upstream", load_twice)
    with pytest.raises(KeyboardInterrupt):
        dump(tones_dir / "train", tmp_path, upstream, Limits(), 1)
    first = (tmp_path / "parts/0.ark").stat().st_mtime_ns
    assert not (tmp_path / "feats.scp").exists()
    monkeypatch.setattr(module, "load_upstream", original)
    assert dump(tones_dir / "train", tmp_path, upstream, Limits(), 1) == (13, {})
    assert (tmp_path / "parts/0.ark").stat().st_mtime_ns == first
    dump(tones_dir / "train", tmp_path, None, Limits(), 1)  # of another kind: nothing of the first remains
    assert read_speech(tmp_path).kind == "audio" and not (tmp_path / "feats.scp").exists()


@pytest.mark.parametrize("kind", ["states", "audio"])
@pytest.mark.parametrize("nj", ["1", "2"])
def test_what_cannot_be_read_is_passed_over(upstream, tmp_path, kind, nj, logged):
    """The others are written; the faults are logged and listed, their number ends the log, the exit code is 1. Repaired, all are written."""
    train, out = tmp_path / "train", tmp_path / "out"
    rows = {f"a-{number}": str(tmp_path / f"{number}.wav") for number in range(6)}
    for wav in rows.values():
        soundfile.write(wav, 0.1 * np.random.default_rng(0).normal(size=8000), 16000)
    for table, value in (("wav.scp", rows), ("utt2spk", dict.fromkeys(rows, "a")), ("text", dict.fromkeys(rows, "AB"))):
        write_table(train / table, value)
    cut, infinite = tmp_path / "cut.wav", tmp_path / "infinite.wav"
    first, second, third, fourth, *rest = rows
    cut.write_bytes(Path(rows[first]).read_bytes()[:-1000])
    soundfile.write(infinite, np.full(8000, np.inf), 16000, subtype="FLOAT")
    bad = {first: str(cut), second: str(infinite), third: str(tmp_path / "no.wav"), fourth: f"cat {rows[fourth]} |"}
    write_table(train / "wav.scp", rows | bad)
    options = ["--data_dirs", str(train), "--out", str(out), "--nj", nj]
    options += ["--upstream", upstream.name, "--upstream_model", upstream.path] if kind == "states" else []
    assert dump_speech.main(options) == 1
    found = read_table(out / "train/bad_utts.txt").rows
    for utt, reason in zip(bad, ("truncated", "NaN or infinite", "does not exist", "has a command"), strict=True):
        assert found[utt].startswith(f"utterance {utt}: ") and reason in found[utt]
    assert sorted(line for line in logged if "passed over: utt" in line) == [f"passed over: {reason}" for reason in found.values()]
    assert logged[-1].startswith(f"{train}: 4 utterances passed over, listed in {out}/train/bad_utts.txt")
    for name in ("feats.scp" if kind == "states" else "wav.scp", "text", "speech_shape"):
        assert list(read_table(out / "train" / name).rows) == rest
    write_table(train / "wav.scp", rows)
    assert dump_speech.main(options) == 0 and not (out / "train/bad_utts.txt").exists()
    assert read_table(out / "train/speech_shape").rows.keys() == rows.keys()


def test_an_upstream_trained_again_makes_the_old_states_stale(tones_dir, progre_package, tmp_path):
    """The same path with other weights: nothing of the former states is kept."""
    package = tmp_path / "progre.pt"
    shutil.copy(progre_package, package)
    dump(tones_dir / "dev", tmp_path / "out", describe_upstream("progre_local", str(package)), Limits(), 1)
    before, old = read_speech(tmp_path / "out"), kaldiio.load_scp(str(tmp_path / "out/feats.scp"))
    first = {utt: matrix.copy() for utt, matrix in old.items()}
    state = torch.load(package, weights_only=True)
    state["model_weight"]["mask_emb"] += 1  # seen by no state
    state["model_weight"]["layer_norm.bias"] += 1
    torch.save(state, package)
    dump(tones_dir / "dev", tmp_path / "out", describe_upstream("progre_local", str(package)), Limits(), 1)
    after = kaldiio.load_scp(str(tmp_path / "out/feats.scp"))
    assert read_speech(tmp_path / "out").data != before.data
    assert all(not np.allclose(after[utt], first[utt]) for utt in first)


def test_an_utterance_of_several_recordings_is_one_file(tmp_path):
    parts = {"a-1": 8000, "a-2": 4000}
    for utt, size in parts.items():
        soundfile.write(tmp_path / f"{utt}.wav", np.full(size, 0.25), 16000)
    wavs = {utt: str(tmp_path / f"{utt}.wav") for utt in parts}
    data = KaldiDir({"wav.scp": wavs, "utt2spk": dict.fromkeys(parts, "a"), "text": dict.fromkeys(parts, "A")})
    concat(data, 2).write(tmp_path / "joined")
    dump(tmp_path / "joined", tmp_path / "out", None, Limits(), 1)
    assert read_table(tmp_path / "out/speech_shape").rows == {"a-1_2": "12000"}
    assert soundfile.info(read_table(tmp_path / "out/wav.scp").rows["a-1_2"]).frames == 12000
    before = read_speech(tmp_path / "out").data
    soundfile.write(tmp_path / "a-2.wav", np.full(5000, 0.25), 16000)
    dump(tmp_path / "joined", tmp_path / "out", None, Limits(), 1)
    assert read_speech(tmp_path / "out").data != before and read_table(tmp_path / "out/speech_shape").rows == {"a-1_2": "13000"}
    soundfile.write(tmp_path / "a-2.wav", np.full(5000, 0.5), 16000)
    before = read_speech(tmp_path / "out").data
    dump(tmp_path / "joined", tmp_path / "out", None, Limits(), 1)
    assert read_speech(tmp_path / "out").data != before, "other audio of the same length"
    data.wav["a-2"] = "cat a-2.wav |"
    concat(data, 2).write(tmp_path / "joined")
    with pytest.raises(UserError, match="no utterance left to train on; see .*out/bad_utts.txt"):
        dump(tmp_path / "joined", tmp_path / "out", None, Limits(), 1)
    assert "utterance a-1_2: wav.scp has a command" in read_table(tmp_path / "out/bad_utts.txt").rows["a-1_2"]


def test_ids_never_become_paths(tmp_path):
    """Audio that is written anew has numbers as names."""
    utts = ["../../up", "/etc/x", "a/b"]
    for name in range(3):
        soundfile.write(tmp_path / f"{name}.wav", np.full(8000, 0.1 * name), 8000)
    wavs = {utt: str(tmp_path / f"{name}.wav") for name, utt in enumerate(utts)}
    KaldiDir({"wav.scp": wavs, "utt2spk": dict.fromkeys(utts, "a"), "text": dict.fromkeys(utts, "A")}).write(tmp_path / "data")
    dump(tmp_path / "data", tmp_path / "out/dump", None, Limits(), 1)
    written = read_table(tmp_path / "out/dump/wav.scp").rows
    assert len({*written.values()}) == 3 and all((tmp_path / "out/dump/parts/0") in Path(path).parents for path in written.values())
    assert [round(float(soundfile.read(written[utt])[0][4000]), 3) for utt in utts] == [0.0, 0.1, 0.2]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"dump"}


def test_what_espnet_would_read_otherwise_is_written_anew(tmp_path):
    """A wrong size in a header, one channel of two, a place in an archive: ESPnet's reader gives other samples, or none."""
    noise = (3000 * np.random.default_rng(0).normal(size=(16000, 2))).astype(np.int16)
    soundfile.write(tmp_path / "size.wav", noise[:, 0], 16000)
    content = bytearray((tmp_path / "size.wav").read_bytes())
    content[40:44] = (1000).to_bytes(4, "little")
    (tmp_path / "size.wav").write_bytes(content)
    soundfile.write(tmp_path / "call.wav", noise, 16000)
    kaldiio.save_ark(str(tmp_path / "data.ark"), {"d": (16000, noise[:, 1])}, scp=str(tmp_path / "ark.scp"))
    wavs = {"a": str(tmp_path / "size.wav"), "b": str(tmp_path / "call.wav"), "c": str(tmp_path / "call.wav")}
    wavs |= read_table(tmp_path / "ark.scp").rows
    tables = {"wav.scp": wavs, "utt2spk": {utt: utt for utt in wavs}, "text": dict.fromkeys(wavs, "A")}
    KaldiDir({**tables, "reco2file_and_channel": {"a": "a A", "b": "call A", "c": "call B", "d": "d A"}}).write(tmp_path / "data")
    dump(tmp_path / "data", tmp_path / "out", None, Limits(), 1)
    written = read_table(tmp_path / "out/wav.scp").rows
    for utt, column in zip("abcd", (0, 0, 1, 1), strict=True):
        assert np.array_equal(soundfile.read(written[utt], dtype="int16")[0], noise[:, column])
    assert set(read_table(tmp_path / "out/speech_shape").rows.values()) == {"16000"}
