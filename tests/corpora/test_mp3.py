"""MP3 whose header has a wrong number of frames or none, made from files of libsndfile's encoder."""

import struct

import numpy as np
import pytest
import soundfile

from asrlib.corpora import audio, audio_file
from asrlib.utils.errors import UserError

COUNT = 48000


@pytest.fixture(params=[16000, 44100])
def content(request, tmp_path) -> bytearray:
    """A recording with a Xing header. MPEG-2 at 16 kHz, MPEG-1 at 44.1 kHz."""
    samples = 0.1 * np.random.default_rng(0).normal(size=COUNT)
    soundfile.write(tmp_path / "whole.mp3", samples, request.param, format="MP3", subtype="MPEG_LAYER_III")
    return bytearray((tmp_path / "whole.mp3").read_bytes())


def place(content) -> int:
    """That of the Xing or Info header."""
    return max(content.find(name, 0, 200) for name in (b"Xing", b"Info"))


def promising(content, frames: int) -> bytes:
    begin = place(content) + 8
    return bytes(content[:begin]) + struct.pack(">I", frames) + bytes(content[begin + 4 :])


def read(path):
    samples = audio.read_audio(path, None)
    assert audio.audio_info(path).frames == len(samples)
    assert np.array_equal(audio.read_wav_entry(f"cat {path} |", allow_pipes=True, rate=None), samples)
    return samples


def test_a_whole_recording_is_read_as_it_is(content, tmp_path, logged):
    assert len(read(tmp_path / "whole.mp3")) == COUNT and audio.audio_info(tmp_path / "whole.mp3").plain and not logged


@pytest.mark.parametrize("frames", [0, 0xFFFFFFFF])
def test_an_open_number_of_frames(content, tmp_path, frames, logged):
    path = tmp_path / "a.mp3"
    path.write_bytes(promising(content, frames))
    assert np.array_equal(read(path), read(tmp_path / "whole.mp3")) and not logged


def test_too_few_frames_in_the_header(content, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(promising(content, 10))
    audio_file._told.clear()
    assert np.array_equal(read(path), read(tmp_path / "whole.mp3"))
    assert audio.audio_info(path).note.startswith("its header says 10 frames where ")


def test_no_header_and_no_constant_bit_rate(content, tmp_path):
    """The header's frame is silence of another bit rate: libsndfile takes it for all."""
    path = tmp_path / "a.mp3"
    begin = place(content)
    path.write_bytes(bytes(content[:begin]) + bytes(4) + bytes(content[begin + 4 :]))
    assert COUNT <= len(read(path)) < COUNT + 4 * 1152
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="its last frame is incomplete"):
        audio.audio_info(path)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_cut_recording(content, tmp_path, keep):
    path = tmp_path / "a.mp3"
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UserError, match=r"truncated \([0-9]+ frames fewer than its header says"):
        audio.audio_info(path)


def test_two_recordings_are_refused(content, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(content + content)
    with pytest.raises(UserError, match="has another recording of [0-9]+ bytes after its samples"):
        audio.read_audio(path)


@pytest.mark.parametrize("before, after", [(b"", b"TAG" + bytes(125)), (b"ID3\4\0\0\0\0\1\2" + bytes(130), b""), (b"", bytes(500))])
def test_tags(content, tmp_path, before, after):
    path = tmp_path / "a.mp3"
    path.write_bytes(before + bytes(content) + after)
    assert len(read(path)) == COUNT
    path.write_bytes(before + promising(content, 0) + after)
    assert len(read(path)) == COUNT
