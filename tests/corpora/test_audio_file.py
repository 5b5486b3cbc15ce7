"""Entries of wav.scp: places in archives, names in another Unicode form, names of files."""

import io
import shutil
import unicodedata

import kaldiio
import numpy as np
import pytest
import soundfile

from asrlib.corpora import audio, audio_file
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import write_table
from asrlib.utils.errors import UserError

PCM = (3000 * np.random.default_rng(0).normal(size=(2, 8000))).astype(np.int16)


@pytest.mark.parametrize("kind", ["wav", "soundfile", "soundfile flac"])
def test_archives_of_kaldiio(tmp_path, kind):
    """As ESPnet's format_wav_scp writes them; kaldiio reads the same."""
    how = {"wav": {}, "soundfile": {"write_function": "soundfile"}}.get(kind, {"write_function": "soundfile", "write_kwargs": {"format": "flac"}})
    kaldiio.save_ark(str(tmp_path / "data.ark"), {"a": (16000, PCM[0]), "b": (16000, PCM[1])}, scp=str(tmp_path / "wav.scp"), **how)
    theirs = kaldiio.load_scp(str(tmp_path / "wav.scp"))
    write_table(tmp_path / "utt2spk", {"a": "a", "b": "b"})
    for number, utterance in enumerate(KaldiDir.read(tmp_path).utterances()):
        assert np.array_equal(utterance.audio(), PCM[number].astype(np.float32) / 32768)
        array = theirs[utterance.id][1]
        assert np.array_equal(utterance.audio(), array / 32768 if array.dtype == np.int16 else array.astype(np.float32))
        assert utterance.seconds() == 0.5 and not utterance.is_file()
        assert np.array_equal(audio.read_audio(utterance.wav, start=0.25), PCM[number][4000:].astype(np.float32) / 32768)


def test_places_that_hold_no_audio(tmp_path):
    ark = tmp_path / "data.ark"
    kaldiio.save_ark(str(ark), {"a": np.zeros((3, 2), np.float32), "b": (16000, PCM[0])})
    with pytest.raises(UserError, match="data.ark:2: the archive holds no audio at this byte"):
        audio.audio_info(f"{ark}:2")
    begin = ark.read_bytes().index(b"RIFF")
    shutil.copy(ark, tmp_path / "cut.ark")
    with open(tmp_path / "cut.ark", "r+b") as stream:
        stream.truncate(begin + 8044)
    with pytest.raises(UserError, match="cut.ark:.* is truncated \\(the archive has 8044 of its 16044 bytes"):
        audio.audio_info(f"{tmp_path}/cut.ark:{begin}")
    for bad in (f"{ark}:999999", f"{tmp_path}/none.ark:0"):
        with pytest.raises(UserError, match="no audio|does not exist"):
            audio.audio_info(bad)


def test_pickles_in_archives_are_not_read(tmp_path):
    kaldiio.save_ark(str(tmp_path / "data.ark"), {"a": [1, 2]}, write_function="pickle")
    with pytest.raises(UserError, match="no audio"):
        audio.audio_info(f"{tmp_path}/data.ark:2")


def test_a_name_that_looks_like_a_place_is_a_file(tmp_path):
    soundfile.write(tmp_path / "plain.wav", PCM[0], 16000)
    shutil.move(tmp_path / "plain.wav", tmp_path / "call.wav:12")
    assert audio.audio_info(tmp_path / "call.wav:12").frames == 8000


@pytest.mark.parametrize("listed, on_disk", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_another_unicode_form(tmp_path, listed, on_disk):
    """Also the names of folders, as an archive unpacked on a Mac has them."""
    name = "Hiếu/안녕 é.wav"
    there = tmp_path / unicodedata.normalize(on_disk, name)
    there.parent.mkdir()
    soundfile.write(there, PCM[0], 16000)
    with pytest.raises(UserError, match=f"does not exist: .* does, whose name has the same letters in another Unicode form, .*{on_disk}") as error:
        audio.audio_info(tmp_path / unicodedata.normalize(listed, name))
    assert str(there) in str(error.value)
    with pytest.raises(UserError, match="does not exist: check its path"):
        audio.audio_info(tmp_path / "Hiếu/other.wav")


@pytest.mark.parametrize("name", ["a\0b.wav", "x" * 300 + ".wav", "-", "../none", ""])
def test_names_that_cannot_be(name):
    with pytest.raises(UserError, match="does not exist|is a folder"):
        audio.read_wav_entry(name)


def test_a_command_with_a_zero_byte():
    with pytest.raises(UserError, match="zero byte"):
        audio.read_wav_entry("cat a\0b |", allow_pipes=True)


def test_wrong_extension_is_read_and_told_once(tmp_path, logged):
    soundfile.write(tmp_path / "a.flac", PCM[0], 16000)
    audio_file.warn_once.cache_clear()
    for name in ("b.wav", "c.wav"):
        shutil.copy(tmp_path / "a.flac", tmp_path / name)
        assert np.array_equal(audio.read_audio(tmp_path / name), audio.read_audio(tmp_path / "a.flac"))
    assert logged == ["files named .wav contain FLAC audio and are read as FLAC"]


def test_views_of_a_stream():
    content = bytes(range(100))
    view = audio_file._View(io.BytesIO(content), 0, 100)
    view.narrow(10, 50)
    view.narrow(5, 45, b"ABC")
    expected = b"ABC" + content[15:60]
    assert view.read() == expected and view.read() == b""
    assert view.seek(1) == 1 and view.read(4) == expected[1:5] and view.tell() == 5
    assert view.seek(-3, 2) == 45 and view.read(10) == expected[45:]


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"ajkg\2", "compressed with shorten"),
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (bytes.fromhex("3026b2758e66cf11"), "Windows media"),
        (bytes.fromhex("1a45dfa3"), "WebM"),
    ],
)
def test_what_is_no_audio_that_can_be_read_is_named(tmp_path, start, what):
    path = tmp_path / "a.wav"
    path.write_bytes(start + bytes(900))
    for read in (audio.read_audio, lambda path: audio.read_wav_entry(f"cat {path} |", allow_pipes=True)):
        with pytest.raises(UserError, match=f"a.wav.* is {what}"):
            read(path)


def test_ranges_of_archives_are_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"x.ark:7\[0:10\]: ranges of archives .* are not read"):
        audio.read_audio(f"{tmp_path}/x.ark:7[0:10]")
