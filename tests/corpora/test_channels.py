"""Channels: one is read by name, equal ones are one, different ones are refused."""

import numpy as np
import pytest
import soundfile

from asrlib.corpora import audio
from asrlib.corpora.channels import Channel, named_channels, one_channel
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import write_table
from asrlib.corpora.kaldi_validate import Rules, validate
from asrlib.features.extract import extract
from asrlib.utils.errors import UserError

RNG = np.random.default_rng(0)
LEFT, RIGHT = (0.1 * RNG.normal(size=(2, 16000))).astype(np.float32)


@pytest.fixture
def call(tmp_path):
    """A telephone call: a speaker in each channel."""
    soundfile.write(tmp_path / "call.wav", np.stack([LEFT, RIGHT], 1), 16000, subtype="FLOAT")
    return tmp_path / "call.wav"


def directory(folder, tables):
    for name, rows in tables.items():
        write_table(folder / name, rows)
    return folder


def by_segments(folder, call, *channels):
    """Utterances a-1, b-1, ... of the call, each with its channel ("": none)."""
    utts = [f"{letter}-1" for letter, _ in zip("abc", channels, strict=False)]
    segments = {utt: f"call 0.0 1.0 {channel}".rstrip() for utt, channel in zip(utts, channels, strict=True)}
    speakers = {utt: utt[0] for utt in utts}
    tables = {"wav.scp": {"call": str(call)}, "segments": segments, "utt2spk": speakers, "text": dict.fromkeys(utts, "WORDS")}
    return directory(folder, {**tables, "spk2utt": {speaker: utt for utt, speaker in speakers.items()}})


def by_reco2file(folder, wavs, names):
    """Utterances a, b, ..., each its own recording with a channel by name."""
    utts = [*"abc"[: len(names)]]
    channels = {utt: f"call {name}" for utt, name in zip(utts, names, strict=True)}
    tables = {"wav.scp": dict(zip(utts, map(str, wavs), strict=True)), "reco2file_and_channel": channels, "utt2spk": {utt: utt for utt in utts}}
    return directory(folder, {**tables, "spk2utt": tables["utt2spk"], "text": dict.fromkeys(utts, "WORDS")})


def audios(folder):
    return [utterance.audio(allow_pipes=True) for utterance in KaldiDir.read(folder).utterances()]


def test_fifth_column_of_segments(tmp_path, call):
    folder = by_segments(tmp_path / "data", call, 0, 1)
    assert validate(folder, Rules(audio=True)) == []
    left, right = audios(folder)
    assert np.array_equal(left, LEFT) and np.array_equal(right, RIGHT)


@pytest.mark.parametrize("names", [("A", "B"), ("1", "2")])
def test_reco2file_and_channel(tmp_path, call, names):
    folder = by_reco2file(tmp_path / "data", [call, call], names)
    assert validate(folder, Rules(audio=True)) == []
    left, right = audios(folder)
    assert np.array_equal(left, LEFT) and np.array_equal(right, RIGHT)


def test_features_are_those_of_the_channel(tmp_path, call):
    """The features of a call's channel equal those of the channel in a file of its own."""
    from asrlib.config.features import FeatureConfig
    from asrlib.features.ark import read_matrix

    for name, samples in (("left", LEFT), ("right", RIGHT)):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000, subtype="FLOAT")
    alone = by_reco2file(tmp_path / "alone", [tmp_path / "left.wav", tmp_path / "right.wav"], ("A", "B"))
    found = []
    for folder in (by_reco2file(tmp_path / "data", [call, call], ("A", "B")), alone):
        extract(folder, tmp_path / "dump" / folder.name, FeatureConfig())
        rows = (tmp_path / "dump" / folder.name / "feats.scp").read_text().splitlines()
        found.append([read_matrix(row.split()[1], "feats") for row in rows])
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(*found, strict=True))
    assert not np.array_equal(*found[0])


def test_a_file_split_before_may_have_a_channel_name(tmp_path, call):
    """sph2pipe -c 2 in wav.scp, or one file per side, with the side in reco2file_and_channel."""
    soundfile.write(tmp_path / "b.wav", RIGHT, 16000, subtype="FLOAT")
    folder = by_reco2file(tmp_path / "data", [call, tmp_path / "b.wav", f"cat {tmp_path}/b.wav |"], ("A", "B", "B"))
    assert validate(folder, Rules(audio=True, allow_pipes=True)) == []
    assert [np.array_equal(ours, theirs) for ours, theirs in zip(audios(folder), (LEFT, RIGHT, RIGHT), strict=True)] == [True] * 3


def test_the_mixture_of_two_sides_is_refused(tmp_path):
    """A file of one channel that is both sides of a call."""
    soundfile.write(tmp_path / "mixed.wav", LEFT + RIGHT, 16000)
    folder = by_reco2file(tmp_path / "data", [tmp_path / "mixed.wav"] * 2, ("A", "B"))
    assert [problem.drop for problem in validate(folder, Rules(audio=True))] == ["b"]
    with pytest.raises(UserError, match="utterance b: .*has 1 channel, not channel 2"):
        audios(folder)


@pytest.mark.parametrize("channels, message", [(("",), "has 2 channels that differ: .*sox IN OUT remix 1"), ((2,), "has 2 channels, not channel 3")])
def test_without_a_channel_a_call_is_refused(tmp_path, call, channels, message):
    folder = by_segments(tmp_path / "data", call, *channels)
    (problem,) = validate(folder, Rules(audio=True))
    assert problem.what == "invalid audio" and problem.drop == "call"
    with pytest.raises(UserError, match=message):
        audios(folder)
    with pytest.raises(UserError, match="differ"):
        audio.check_audio(call)


def test_a_channel_that_is_none(tmp_path, call):
    folder = by_reco2file(tmp_path / "data", [call], ("left",))
    assert [problem.what for problem in validate(folder)] == ["no channel in the line"]
    with pytest.raises(UserError, match="differ"):
        audios(folder)
    folder = by_segments(tmp_path / "segments", call, -1)
    assert "invalid segment" in [problem.what for problem in validate(folder)]


def test_parts_have_their_own_channels(tmp_path, call):
    tables = {"wav.scp": {"l": str(call), "r": str(call)}, "utt2spk": {"a": "a"}, "utt2parts": {"a": "l r"}, "text": {"a": "WORDS"}}
    folder = directory(tmp_path / "data", {**tables, "reco2file_and_channel": {"l": "call A", "r": "call B"}, "spk2utt": {"a": "a"}})
    assert np.array_equal(audios(folder)[0], np.concatenate([LEFT, RIGHT]))


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_equal_channels_are_one(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", np.stack([LEFT] * 3, 1), 16000, subtype=subtype)
    soundfile.write(tmp_path / "b.wav", LEFT, 16000, subtype=subtype)
    assert audio.check_audio(tmp_path / "a.wav").channels == 3
    np.testing.assert_allclose(audio.read_audio(tmp_path / "a.wav"), audio.read_audio(tmp_path / "b.wav"), atol=1e-8)


def test_channels_that_differ_by_rounding_are_one():
    other = LEFT + RNG.uniform(-1, 1, LEFT.size).astype(np.float32) / 32768
    np.testing.assert_allclose(one_channel(np.stack([LEFT, other], 1), None, "a"), LEFT, atol=1 / 32768)
    assert not one_channel(np.zeros((10, 2), np.float32), None, "silence").any()


@pytest.mark.parametrize("other, opposite", [(-LEFT, True), (-0.95 * LEFT, True), (0.5 * LEFT, False), (0 * LEFT, False)])
def test_opposite_phase_is_told(other, opposite):
    with pytest.raises(UserError, match="differ") as error:
        one_channel(np.stack([LEFT, other], 1), None, "a.wav")
    assert ("opposite phase" in str(error.value)) == opposite


def test_names_of_channels():
    names = {"a": "A", "b": "B", "c": "1", "d": "2", "e": "a", "f": "AB", "g": ""}
    assert named_channels(names) == {"a": 0, "b": 1, "c": 0, "d": 1}
    assert named_channels({**names, "h": "0"}) == {"a": 0, "b": 1}, "1 may be the first or the second"


def test_channels_from_zero_are_refused(tmp_path, call):
    folder = by_reco2file(tmp_path / "data", [call, call], ("0", "1"))
    assert [problem.what for problem in validate(folder, Rules())] == ["no channel in the line"] * 2
    with pytest.raises(UserError, match="differ"):
        audios(folder)


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3"])
def test_long_recordings_are_read_in_blocks(tmp_path, monkeypatch, extension):
    """The same samples as at once; channels that differ in one block only are found."""
    mono = 0.1 * RNG.normal(size=int(3.3 * 16000))
    soundfile.write(tmp_path / f"same.{extension}", np.stack([mono, mono], 1), 16000)
    whole = audio.read_audio(tmp_path / f"same.{extension}", 16000)
    monkeypatch.setattr(audio, "BLOCK", 1)
    tolerance = 1e-6 if extension == "mp3" else 0  # its decoder rounds otherwise
    np.testing.assert_allclose(audio.read_audio(tmp_path / f"same.{extension}", 16000), whole, rtol=0, atol=tolerance)
    np.testing.assert_allclose(audio.read_audio(tmp_path / f"same.{extension}", 16000, 0.5, 3.0), whole[8000:48000], rtol=0, atol=tolerance)
    other = mono.copy()
    other[2 * 16000 : 2 * 16000 + 4000] = 0
    soundfile.write(tmp_path / f"differ.{extension}", np.stack([mono, other], 1), 16000)
    with pytest.raises(UserError, match="2 channels that differ"):
        audio.read_audio(tmp_path / f"differ.{extension}", 16000)
    found = audio.read_audio(tmp_path / f"differ.{extension}", 16000, channel=Channel(1))
    assert np.corrcoef(found, other)[0, 1] > max(0.8, np.corrcoef(found, mono)[0, 1])  # mp3 keeps little of noise
