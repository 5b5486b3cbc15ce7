"""Feature extraction of a Kaldi directory, in one process and in several, and its errors."""

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from asrlib.bin import extract_features
from asrlib.config.features import FeatureConfig
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.features import extract as extract_module
from asrlib.features.ark import read_matrix
from asrlib.features.extract import extract
from asrlib.features.spectrogram import log_spectrogram
from asrlib.utils.errors import UserError

from .conftest import SECONDS


def table(path):
    read = read_table(path)
    assert not read.problems
    return read.rows


def check_dump(dump, config=None, tolerance=0.0, rate=16000):
    config = config or FeatureConfig()
    wavs, locations = table(dump / "wav.scp"), table(dump / "feats.scp")
    assert list(locations) == sorted(SECONDS) == list(table(dump / "utt2num_frames")) == list(table(dump / "utt2dur"))
    for utt, seconds in SECONDS.items():
        feats = read_matrix(locations[utt], utt)
        expected = log_spectrogram(soundfile.read(wavs[utt], dtype="float32")[0], config)
        np.testing.assert_allclose(feats, expected, atol=tolerance)
        assert int(table(dump / "utt2num_frames")[utt]) == len(feats)
        assert float(table(dump / "utt2dur")[utt]) == pytest.approx(seconds, abs=1e-6)


def command(kaldi, dump, *more):
    """argv of asrlib.bin.extract_features with an empty configuration."""
    config = kaldi.parent / "conf.yaml"
    config.write_text("")
    return ["--train_config", str(config), "--data_dir", str(kaldi), "--dump_dir", str(dump), *more]


def run(arguments, **kwargs):
    """The command in a process of its own: exit code and standard error."""
    done = subprocess.run([sys.executable, "-m", "asrlib.bin.extract_features", *arguments], capture_output=True, text=True, check=False, **kwargs)
    return done.returncode, done.stderr


@pytest.mark.parametrize("nj", [1, 2])
def test_extract(kaldi, tmp_path, nj):
    facts = extract(kaldi, tmp_path / "dump", FeatureConfig(), nj=nj)
    check_dump(tmp_path / "dump")
    assert facts == {
        "utterances": 5,
        "hours": pytest.approx(sum(SECONDS.values()) / 3600),
        "frames": sum(1 + round(s * 100) for s in SECONDS.values()),
        "passed_over": 0,
    }
    assert len(list((tmp_path / "dump").glob("*.ark"))) == nj
    assert table(tmp_path / "dump" / "text") == table(kaldi / "text")
    assert table(tmp_path / "dump" / "spk2utt") == {"a": "a-1 a-2", "b": "b-1 b-2 b-3"}


def test_command_with_compression_and_overrides(kaldi, tmp_path):
    extract_features.main(command(kaldi, tmp_path / "dump", "--compress", "true", "--train_args", "features.window=hann"))
    check_dump(tmp_path / "dump", FeatureConfig(window="hann"), tolerance=0.1)


def test_resampled_segments(kaldi, tmp_path):
    """utt2dur and frames are those of the segments, at the rate of the configuration."""
    (kaldi / "segments").write_text("x-1 a-1 0.0 0.2\nx-2 a-1 0.15 0.4\n")
    (kaldi / "utt2spk").write_text("x-1 x\nx-2 x\n")
    (kaldi / "text").write_text("x-1 A\nx-2 B\n")
    extract(kaldi, tmp_path / "dump", FeatureConfig(sample_rate=8000))
    assert table(tmp_path / "dump" / "utt2dur") == {"x-1": "0.200000", "x-2": "0.250000"}
    assert table(tmp_path / "dump" / "utt2num_frames") == {"x-1": "21", "x-2": "26"}
    assert read_matrix(table(tmp_path / "dump" / "feats.scp")["x-2"], "x-2").shape == (26, 81)


def test_smaller_directory_over_a_larger_dump(kaldi, tmp_path):
    extract(kaldi, tmp_path / "dump", FeatureConfig(), nj=2)
    for name in ("wav.scp", "text", "utt2spk"):
        lines = (kaldi / name).read_text().splitlines(keepends=True)
        (kaldi / name).write_text("".join(lines[:2]))
    assert extract(kaldi, tmp_path / "dump", FeatureConfig())["utterances"] == 2
    for name in ("feats.scp", "utt2num_frames", "utt2dur", "wav.scp", "text", "utt2spk"):
        assert list(table(tmp_path / "dump" / name)) == ["a-1", "a-2"]
    assert [path.name for path in (tmp_path / "dump").glob("*.ark")] == ["feats.1.ark"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def with_nan(path):
    samples = np.zeros(8000, np.float32)
    samples[77] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")


def text_file(path):
    path.write_text("not audio at all, not at all")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"utterance b-1: audio file .*b-1\.wav is truncated \(100 bytes fewer than its header says\)"),
        (empty, r"utterance b-1: audio file .*b-1\.wav is empty \(0 bytes\)"),
        (with_nan, r"utterance b-1: audio file .*b-1\.wav has 1 NaN or infinite samples, the first at sample 77"),
        (text_file, r"utterance b-1: audio file .*b-1\.wav is not wav, flac or ogg audio"),
        (os.unlink, r"utterance b-1: audio file .*b-1\.wav does not exist"),
    ],
)
def test_bad_audio(kaldi, tmp_path, damage, message):
    """The utterance is passed over and named; the others have features."""
    damage(tmp_path / "wav" / "b-1.wav")
    facts = extract(kaldi, tmp_path / "dump", FeatureConfig())
    assert (facts["utterances"], facts["passed_over"]) == (4, 1)
    assert re.match(message, table(tmp_path / "dump" / "bad_utts.txt")["b-1"])
    for name in ("feats.scp", "utt2num_frames", "utt2dur", "wav.scp", "text", "utt2spk"):
        assert "b-1" not in table(tmp_path / "dump" / name) and len(table(tmp_path / "dump" / name)) == 4


@pytest.mark.parametrize("nj", ["1", "2"])
def test_bad_audio_ends_with_a_count_and_code_1(kaldi, tmp_path, nj):
    for name in ("a-1", "b-1"):
        truncate(tmp_path / "wav" / f"{name}.wav")
    code, errors = run(command(kaldi, tmp_path / "dump", "--nj", nj))
    lines = errors.splitlines()
    assert code == 1 and sum("passed over: utterance" in line for line in lines) == 2
    assert f"{kaldi}: 2 utterances passed over, listed in {tmp_path}/dump/bad_utts.txt" in lines[-1]
    assert list(table(tmp_path / "dump" / "feats.scp")) == sorted(table(kaldi / "utt2spk").keys() - {"a-1", "b-1"})


def test_no_audio_that_can_be_read(kaldi, tmp_path):
    for path in (tmp_path / "wav").iterdir():
        empty(path)
    with pytest.raises(UserError, match="no utterance can be read, utterance a-1: audio file .* is empty"):
        extract(kaldi, tmp_path / "dump", FeatureConfig())
    assert not (tmp_path / "dump" / "feats.scp").exists()


def test_a_list_of_bad_utterances_goes_with_them(kaldi, tmp_path):
    path = tmp_path / "wav" / "b-1.wav"
    content = path.read_bytes()
    truncate(path)
    extract(kaldi, tmp_path / "dump", FeatureConfig())
    path.write_bytes(content)
    assert extract(kaldi, tmp_path / "dump", FeatureConfig())["passed_over"] == 0
    assert not (tmp_path / "dump" / "bad_utts.txt").exists()


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("config", [FeatureConfig(), FeatureConfig(pad_mode="reflect"), FeatureConfig(type="logmel")])
def test_clips_of_a_few_samples_have_features(tmp_path, config, rate):
    counts = (1, 2, 16, 160, 399, 400)
    for count in counts:
        soundfile.write(tmp_path / f"{count}.wav", 0.1 * np.random.default_rng(count).normal(size=count), rate)
    write_table(tmp_path / "wav.scp", {f"s-{count}": str(tmp_path / f"{count}.wav") for count in counts})
    write_table(tmp_path / "utt2spk", {f"s-{count}": "s" for count in counts})
    facts = extract(tmp_path, tmp_path / "dump", config)
    assert (facts["utterances"], facts["passed_over"]) == (6, 0)
    for utt, location in table(tmp_path / "dump" / "feats.scp").items():
        assert np.isfinite(read_matrix(location, utt, config.dim)).all()


def test_pipes_only_if_allowed(kaldi, tmp_path):
    rows = table(kaldi / "wav.scp")
    rows["a-1"] = f"cat {rows['a-1']} |"
    (kaldi / "wav.scp").write_text("".join(f"{utt} {wav}\n" for utt, wav in rows.items()))
    assert extract(kaldi, tmp_path / "dump", FeatureConfig())["passed_over"] == 1
    assert "wav.scp has the command" in table(tmp_path / "dump" / "bad_utts.txt")["a-1"]
    assert extract(kaldi, tmp_path / "dump", FeatureConfig(), allow_pipes=True)["utterances"] == 5


def test_no_utterances(kaldi, tmp_path):
    (kaldi / "utt2spk").write_text("")
    with pytest.raises(UserError, match="utt2spk: the file is empty"):
        extract(kaldi, tmp_path / "dump", FeatureConfig())


def test_features_lost_on_the_way(kaldi, tmp_path, monkeypatch):
    monkeypatch.setattr(extract_module, "run_jobs", lambda function, arguments, *_, **__: [(function(*a)[0][:1], {}) for a in arguments])
    with pytest.raises(UserError, match="only 2 of 5 utterances have features"):
        extract(kaldi, tmp_path / "dump", FeatureConfig(), nj=2)


def without_override():
    """Removes root's right to ignore file permissions (CAP_DAC_OVERRIDE), so that read-only folders are; runs between fork and exec."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.parametrize("nj", ["1", "2"])
def test_read_only_dump_folder(kaldi, tmp_path, nj):
    dump = tmp_path / "dump"
    dump.mkdir()
    dump.chmod(0o555)
    code, errors = run(command(kaldi, dump, "--nj", nj), preexec_fn=without_override)
    assert code == 1
    assert errors.splitlines()[-1].startswith(f"extract_features: error: Permission denied: {dump}")
    assert "Traceback" not in errors and not list(dump.iterdir())


def small_files_only():
    """Limits files to 100 kB to simulate a full disk: write(2) fails in the same way, with another errno."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_disk_that_takes_no_more(kaldi, tmp_path):
    code, errors = run(command(kaldi, tmp_path / "dump"), preexec_fn=small_files_only)
    assert code == 1 and "File too large" in errors
    assert not list((tmp_path / "dump").glob("*")), "an incomplete archive was left"


def killed_in_the_second_part(utterances, *arguments):
    """extract_part, whose process is killed in the second part, as by the kernel when memory runs out."""
    if utterances[0].id != "a-1":
        os.kill(os.getpid(), signal.SIGKILL)
    return extract_module.extract_part(utterances, *arguments)


def test_killed_worker(kaldi, tmp_path, monkeypatch):
    """The feats.scp of an earlier extraction is removed, because its offsets point into other archives."""
    extract(kaldi, tmp_path / "dump", FeatureConfig())
    monkeypatch.setattr(extract_module, "extract_part", killed_in_the_second_part)
    with pytest.raises(UserError, match=r"features of data: job 2 of 2: killed by SIGKILL \(out of memory\?\); see .*2\.log"):
        extract(kaldi, tmp_path / "dump", FeatureConfig(), nj=2)
    assert not (tmp_path / "dump" / "feats.scp").exists()
    monkeypatch.undo()
    extract(kaldi, tmp_path / "dump", FeatureConfig(), nj=2)
    check_dump(tmp_path / "dump")
