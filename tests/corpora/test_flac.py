"""FLAC streams without the number of samples, made from files of libsndfile's encoder."""

import hashlib

import numpy as np
import pytest
import soundfile

from asrlib.corpora import audio
from asrlib.utils.errors import UserError


def encoded(path, count: int, channels: int = 1, subtype: str = "PCM_16") -> np.ndarray:
    """Writes noise; returns the decoded samples (n, channels)."""
    samples = 0.1 * np.random.default_rng(count).normal(size=(count, channels))
    soundfile.write(path, np.repeat(samples[:, :1], channels, axis=1), 16000, format="FLAC", subtype=subtype)
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def opened(path, digest: bool) -> None:
    """Removes the number of samples from the header, and its MD5 without `digest`."""
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
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
