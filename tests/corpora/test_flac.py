"""FLAC streams without the number of samples, made from files of libsndfile's encoder."""

import hashlib
import struct

import numpy as np
import pytest
import soundfile

from asrlib.corpora import audio, audio_file
from asrlib.utils.errors import UserError


def encoded(path, count: int, channels: int = 1, subtype: str = "PCM_16") -> np.ndarray:
    """Writes noise; returns the decoded samples (n, channels)."""
    samples = 0.1 * np.random.default_rng(count).normal(size=(count, channels))
    soundfile.write(path, np.repeat(samples[:, :1], channels, axis=1), 16000, format="FLAC", subtype=subtype)
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def opened(path, digest: bool, promised: int = 0) -> None:
    """Removes the number of samples from the header, or writes another one, and removes its MD5 without `digest`."""
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | promised >> 32
    content[22:26] = struct.pack(">I", promised & 0xFFFFFFFF)
    if not digest:
        content[26:42] = bytes(16)
    path.write_bytes(content)


@pytest.mark.parametrize("digest", [True, False])
@pytest.mark.parametrize("channels, subtype", [(1, "PCM_16"), (2, "PCM_16"), (1, "PCM_24"), (1, "PCM_S8")])
@pytest.mark.parametrize("count", [1, 100, 4096, 4097, 16000, 400_000])
def test_open_length(tmp_path, count, channels, subtype, digest):
    path = tmp_path / "a.flac"
    samples = encoded(path, count, channels, subtype)
    opened(path, digest)
    assert soundfile.info(path).frames > 1 << 60, "libsndfile does not know the length"
    assert audio.audio_info(path).frames == count
    assert np.array_equal(audio.read_audio(path), samples[:, 0])
    if count == 16000:
        assert np.array_equal(audio.read_audio(path, start=0.25, end=0.5), samples[4000:8000, 0])
        assert np.array_equal(audio.read_wav_entry(f"cat {path} |", allow_pipes=True), samples[:, 0])


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_a_damaged_stream(tmp_path, place):
    path = tmp_path / "a.flac"
    encoded(path, 60_000)
    opened(path, digest=True)
    content = bytearray(path.read_bytes())
    begin = int(len(content) * place)
    content[begin : begin + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        audio.audio_info(path)


def test_a_tag_after_the_last_frame(tmp_path):
    path = tmp_path / "a.flac"
    samples = encoded(path, 16000)
    opened(path, digest=True)
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert np.array_equal(audio.read_audio(path), samples[:, 0])


@pytest.mark.parametrize("digest", [True, False])
@pytest.mark.parametrize("keep", [0.999, 0.5, 0.1])
def test_cut_in_a_frame(tmp_path, keep, digest):
    path = tmp_path / "a.flac"
    encoded(path, 60_000)
    opened(path, digest)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UserError, match="its last frame is incomplete"):
        audio.audio_info(path)


def test_cut_between_two_frames(tmp_path):
    """Only the MD5 shows it: the first frame alone is what the encoder writes for the first 4096 samples."""
    path, short = tmp_path / "a.flac", tmp_path / "short.flac"
    samples = encoded(path, 8192)
    soundfile.write(short, samples[:4096], 16000, subtype="PCM_16")
    begin = short.read_bytes().index(b"\xff\xf8")
    frame = short.read_bytes()[begin:]
    content = path.read_bytes()
    assert content[begin : begin + len(frame)] == frame
    path.write_bytes(content[: begin + len(frame)])
    opened(path, digest=True)
    with pytest.raises(UserError, match="another MD5"):
        audio.audio_info(path)


def test_the_digest_is_that_of_the_samples(tmp_path):
    """STREAMINFO has the MD5 of the samples, little-endian, as the encoder wrote it."""
    path = tmp_path / "a.flac"
    encoded(path, 1000)
    assert path.read_bytes()[26:42] == hashlib.md5(soundfile.read(path, dtype="int16")[0].astype("<i2").tobytes()).digest()


@pytest.mark.parametrize("digest", [True, False])
@pytest.mark.parametrize("promised", [1, 500, 4096, 12288, 15999])
def test_too_few_samples_in_the_header(tmp_path, promised, digest, logged):
    """libsndfile reads so many without complaint; 4096 and 12288 end with a frame."""
    path = tmp_path / "a.flac"
    samples = encoded(path, 16000)
    opened(path, digest, promised)
    audio_file._told.clear()
    assert soundfile.info(path).frames == promised
    info = audio.audio_info(path)
    assert (info.frames, info.plain, info.note) == (16000, False, f"its header says {promised} samples where 16000 are: read to its end")
    assert np.array_equal(audio.read_audio(path), samples[:, 0]) and len(logged) == 1
    assert np.array_equal(audio.read_wav_entry(f"cat {path} |", allow_pipes=True), samples[:, 0])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match="its last frame is incomplete"):
        audio.read_audio(path)


@pytest.mark.parametrize("promised", [16001, 16044, 20000, 1 << 30])
def test_too_many_samples_in_the_header(tmp_path, promised):
    """The MD5 tells that the recording is whole; without one it may have been cut between two frames."""
    path = tmp_path / "a.flac"
    samples = encoded(path, 16000)
    opened(path, True, promised)
    assert np.array_equal(audio.read_audio(path), samples[:, 0])
    assert audio.audio_info(path).note == f"its header says {promised - 16000} samples more than there are: read to its end"
    opened(path, False, promised)
    for read in (audio.read_audio, audio.audio_info, lambda path: audio.read_wav_entry(f"cat {path} |", allow_pipes=True)):
        with pytest.raises(UserError, match=rf"truncated \({promised - 16000} samples fewer than its header says"):
            read(path)


@pytest.mark.parametrize("promised", [(1 << 36) - 1, 0xFFFFFFFF, 0x7FFFF000])
def test_a_length_that_stands_for_none(tmp_path, promised):
    path = tmp_path / "a.flac"
    samples = encoded(path, 16000)
    opened(path, False, promised)
    assert np.array_equal(audio.read_audio(path), samples[:, 0]) and audio.audio_info(path).note == ""


def test_a_cut_recording_of_the_usual_header(tmp_path):
    """Cut between two frames; the first frame alone is whole."""
    path = tmp_path / "a.flac"
    encoded(path, 8192)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\xff\xf8\xc5")] if b"\xff\xf8\xc5" in content else content[:-9000])
    with pytest.raises(UserError, match="truncated"):
        audio.audio_info(path)


@pytest.mark.parametrize("counts", [(16000, 16000), (8000, 20000), (20000, 8000)])
def test_two_recordings_in_a_file_are_refused(tmp_path, counts):
    """libsndfile reads the first one."""
    for name, count in zip("ab", counts, strict=True):
        encoded(tmp_path / f"{name}.flac", count * 4)
    path = tmp_path / "c.flac"
    path.write_bytes((tmp_path / "a.flac").read_bytes() + (tmp_path / "b.flac").read_bytes())
    with pytest.raises(UserError, match="has another recording of [0-9]+ bytes after its samples"):
        audio.audio_info(path)


@pytest.mark.parametrize("rest", [bytes(1000), b"\xff" * 300, b"TAG" + bytes(125), b"APETAGEX" + bytes(200)])
def test_what_follows_the_last_frame_does_not_matter(tmp_path, rest, logged):
    path = tmp_path / "a.flac"
    samples = encoded(path, 16000)
    path.write_bytes(path.read_bytes() + rest)
    assert np.array_equal(audio.read_audio(path), samples[:, 0]) and audio.audio_info(path).plain and not logged
