"""Sizes in the headers of audio files: cut files are refused, whole recordings with a wrong size are read whole."""

import struct

import numpy as np
import pytest
import soundfile

from asrlib.corpora import audio, audio_file
from asrlib.corpora.containers import HEADER
from asrlib.utils.errors import UserError

PCM = (3000 * np.random.default_rng(0).normal(size=16000)).clip(-32768, 32767).astype(np.int16)
SAMPLES = PCM.astype(np.float32) / 32768
BYTES = 32000
# extension -> format of soundfile, layout of the size of the samples, what it counts besides them
SIZED = {
    "wav": ("WAV", "<I", 0),
    "wavex.wav": ("WAVEX", "<I", 0),
    "rifx.wav": ("WAV", ">I", 0),
    "rf64": ("RF64", "<Q", 0),
    "w64": ("W64", "<Q", 24),
    "aiff": ("AIFF", ">I", 8),
    "au": ("AU", ">I", 0),
    "caf": ("CAF", ">Q", 4),
}


def content_of(tmp_path, extension: str, form: str) -> bytearray:
    endian = "BIG" if extension == "rifx.wav" else "FILE"
    soundfile.write(tmp_path / f"plain.{extension}", PCM, 16000, format=form, subtype="PCM_16", endian=endian)
    return bytearray((tmp_path / f"plain.{extension}").read_bytes())


def with_size(content: bytearray, extension: str, size: int) -> bytearray:
    """The content with another size of the samples in its header."""
    _, layout, more = SIZED[extension]
    place = content.index(struct.pack(layout, BYTES + more), 36 if "wav" in extension else 0)  # not the bytes of a second, which are as many
    content[place : place + struct.calcsize(layout)] = struct.pack(layout, size + more)
    return content


def read(path):
    return audio.audio_info(path).frames, audio.read_audio(path)


@pytest.mark.parametrize("extension", SIZED)
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.99])
def test_a_cut_file_is_refused(tmp_path, extension, keep):
    content = content_of(tmp_path, extension, SIZED[extension][0])
    path = tmp_path / f"a.{extension}"
    path.write_bytes(content[: int(len(content) * keep)])
    if extension != "caf":  # libsndfile refuses most of these
        assert soundfile.info(path).frames < 16000, "libsndfile reads it without complaint"
    with pytest.raises(UserError, match=r"truncated \([0-9]+ bytes fewer than its header says"):
        audio.audio_info(path)
    with pytest.raises(UserError, match="truncated"):
        audio.read_audio(path)


SMALL = [0, 0x7F000000 - 8, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF - 8]


@pytest.mark.parametrize("extension", SIZED)
@pytest.mark.parametrize("size", SMALL)
def test_an_open_size_is_read_to_the_end(tmp_path, extension, size, logged):
    """0 of a killed recorder; ffmpeg's and sox's sizes on pipes, some without their header."""
    path = tmp_path / f"a.{extension}"
    path.write_bytes(with_size(content_of(tmp_path, extension, SIZED[extension][0]), extension, size))
    frames, samples = read(path)
    assert frames == 16000 and np.array_equal(samples, SAMPLES) and not logged
    assert np.array_equal(audio.read_audio(path, start=0.25, end=0.5), SAMPLES[4000:8000])
    assert not audio.audio_info(path).plain


@pytest.mark.parametrize("extension", ["rf64", "w64", "caf"])
def test_an_open_size_of_64_bits(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    path.write_bytes(with_size(content_of(tmp_path, extension, SIZED[extension][0]), extension, (1 << 63) - 100))
    assert np.array_equal(audio.read_audio(path), SAMPLES)


# AU's header has 24 bytes
@pytest.mark.parametrize("extension, more", [(name, more) for name in SIZED for more in (2, 4, 8, 24, 36, 44) if name != "au" or more <= 24])
def test_a_header_that_counts_itself_is_told(tmp_path, extension, more, logged):
    path = tmp_path / f"a.{extension}"
    path.write_bytes(with_size(content_of(tmp_path, extension, SIZED[extension][0]), extension, BYTES + more))
    assert np.array_equal(audio.read_audio(path), SAMPLES)
    assert audio.audio_info(path).note == f"its header says {more} bytes more than there are: read to its end"


def test_how_much_a_header_may_count_too_many(tmp_path):
    content = content_of(tmp_path, "w64", "W64")
    path = tmp_path / "a.w64"
    path.write_bytes(content[: -HEADER // 2 * 2 - 2])
    with pytest.raises(UserError, match=f"{HEADER + 2} bytes fewer"):
        audio.audio_info(path)


@pytest.mark.parametrize("extension", SIZED)
@pytest.mark.parametrize("size", [2, 1000, 16000])
def test_a_size_that_leaves_most_of_the_file_unread(tmp_path, extension, size, logged):
    """As of a size modulo 2^32 or 2^16: libsndfile gives the first samples alone."""
    path = tmp_path / f"a.{extension}"
    path.write_bytes(with_size(content_of(tmp_path, extension, SIZED[extension][0]), extension, size))
    frames, samples = read(path)
    assert frames == 16000 and np.array_equal(samples, SAMPLES)
    assert audio.audio_info(path).note == f"its header says {size} bytes of samples where 32000 are: read to its end"


def test_a_size_modulo_four_gibibytes(tmp_path):
    """A sparse file of 4 GiB and one second, whose 32-bit size has wrapped."""
    content = content_of(tmp_path, "wav", "WAV")
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with open(path, "r+b") as stream:
        stream.truncate(len(content) + (1 << 32))
    assert audio.audio_info(path).frames == 16000 + (1 << 31)
    assert np.array_equal(audio.read_audio(path, end=1.0), SAMPLES)


@pytest.mark.parametrize("extension, chunk", [("wav", b"LIST\x04\0\1\0" + bytes(65540)), ("aiff", b"JUNK\0\1\0\4" + bytes(65540))])
def test_chunks_after_the_samples_are_no_samples(tmp_path, extension, chunk, logged):
    content = content_of(tmp_path, extension, SIZED[extension][0])
    path = tmp_path / f"a.{extension}"
    path.write_bytes(content + chunk)
    assert np.array_equal(audio.read_audio(path), SAMPLES)
    assert audio.audio_info(path).note == "" and audio.audio_info(path).plain


def test_an_empty_recording_with_chunks_is_empty(tmp_path):
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + b"data\0\0\0\0" + b"LIST\4\0\0\0INFO"
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(header)) + header)
    with pytest.raises(UserError, match="no samples"):
        audio.audio_info(tmp_path / "a.wav")


@pytest.mark.parametrize("rest", [b"TAG" + b"\xff" * 125, b"ID3\3" + bytes(8000), bytes(1), bytes(512), bytes(60000), b"LIST\0\1\0\0INFOcut"])
@pytest.mark.parametrize("count", [16000, 15999])
def test_tags_padding_and_cut_chunks_are_no_samples(tmp_path, rest, count):
    path = tmp_path / "a.wav"
    soundfile.write(path, PCM[:count] >> 8, 16000, subtype="PCM_U8")
    path.write_bytes(path.read_bytes() + rest)
    assert len(audio.read_audio(path)) == count and audio.audio_info(path) == audio.AudioInfo(16000, 1, count)


@pytest.mark.parametrize("more", [2, 4, 44, 4000, 12000])
def test_a_size_that_leaves_a_part_unread(tmp_path, more):
    """As of a recorder that was killed after it had last written the size."""
    path = tmp_path / "a.wav"
    path.write_bytes(with_size(content_of(tmp_path, "wav", "WAV"), "wav", BYTES - more))
    assert np.array_equal(audio.read_audio(path), SAMPLES)
    assert audio.audio_info(path).note == f"its header says {BYTES - more} bytes of samples where 32000 are: read to its end"


@pytest.mark.parametrize("extension", ["wav", "w64", "au"])
def test_two_recordings_in_a_file_are_refused(tmp_path, extension):
    """libsndfile reads the first one of some formats, and all bytes of the second one as samples of others."""
    path = tmp_path / f"a.{extension}"
    path.write_bytes(2 * content_of(tmp_path, extension, SIZED[extension][0]))
    with pytest.raises(UserError, match="has another recording of 32[0-9]+ bytes after its samples: split it"):
        audio.audio_info(path)


def test_a_file_of_wrong_size_is_told_once(tmp_path, logged):
    audio_file._told.clear()
    for name in ("a", "b"):
        (tmp_path / f"{name}.wav").write_bytes(with_size(content_of(tmp_path, "wav", "WAV"), "wav", 1004))
        audio.read_audio(tmp_path / f"{name}.wav")
    assert len(logged) == 1 and f"{tmp_path}/a.wav: its header says 1004 bytes of samples where 32000 are: read to its end" in logged[0]


def sphere(coding: str = "pcm", count: int | None = 16000, samples: bytes = PCM.tobytes()) -> bytes:
    """A file as LDC writes it."""
    lines = ["NIST_1A", "   1024", "channel_count -i 1", "sample_rate -i 16000", "sample_n_bytes -i 2", "sample_byte_format -s2 01"]
    lines += [f"sample_coding -s{len(coding)} {coding}", *([f"sample_count -i {count}"] if count is not None else []), "end_head", ""]
    return "\n".join(lines).encode().ljust(1024) + samples


def test_sphere(tmp_path):
    """TIMIT's files are SPHERE and are called .wav."""
    for name, count in (("a.wav", 16000), ("b.sph", 100), ("c.sph", None)):
        (tmp_path / name).write_bytes(sphere(count=count))
        assert np.array_equal(audio.read_audio(tmp_path / name), SAMPLES)
    assert "200 bytes of samples where 32000 are" in audio.audio_info(tmp_path / "b.sph").note
    (tmp_path / "cut.sph").write_bytes(sphere()[:17024])
    with pytest.raises(UserError, match="16000 bytes fewer than its header says"):
        audio.audio_info(tmp_path / "cut.sph")


@pytest.mark.parametrize("coding", ["pcm,embedded-shorten-v2.00", "ulaw,embedded-shorten-v1.09", "pcm,embedded-shortpack-v0", "pcm"])
def test_compressed_sphere_names_the_converter(tmp_path, coding):
    """Also where the header calls it pcm, but the samples begin as shorten's do."""
    (tmp_path / "a.sph").write_bytes(sphere(coding, samples=b"ajkg\2" + bytes(9000)))
    for function in (audio.audio_info, audio.read_audio):
        with pytest.raises(UserError, match="a.sph is SPHERE audio compressed with short.*sph2pipe"):
            function(tmp_path / "a.sph")


def test_ogg_cut_between_two_pages(tmp_path):
    """Only the missing end-of-stream flag shows it."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.tile(SAMPLES, 20), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS")])
    assert soundfile.read(path)[0].size < 320000, "libsndfile reads it without complaint"
    with pytest.raises(UserError, match="last ogg page is missing"):
        audio.read_audio(path)


def test_a_chain_of_ogg_streams_is_refused(tmp_path):
    """As a recorder of web radio writes it: libsndfile reads the first stream alone."""
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.ogg", SAMPLES, 16000)
    (tmp_path / "c.ogg").write_bytes((tmp_path / "a.ogg").read_bytes() + (tmp_path / "b.ogg").read_bytes())
    assert soundfile.info(tmp_path / "c.ogg").frames == 16000
    assert audio.audio_info(tmp_path / "a.ogg").frames == 16000
    with pytest.raises(UserError, match="c.ogg consists of several ogg streams"):
        audio.audio_info(tmp_path / "c.ogg")


@pytest.mark.parametrize("extension", ["wav", "w64", "au", "aiff"])
def test_the_output_of_a_command_is_checked_too(tmp_path, extension):
    content = content_of(tmp_path, extension, SIZED[extension][0])
    plain = tmp_path / f"plain.{extension}"
    assert np.array_equal(audio.read_wav_entry(f"cat {plain} |", allow_pipes=True), SAMPLES)
    with pytest.raises(UserError, match="truncated"):
        audio.read_wav_entry(f"head -c 16044 {plain} |", allow_pipes=True)
    plain.write_bytes(with_size(content, extension, 0))
    assert np.array_equal(audio.read_wav_entry(f"cat {plain} |", allow_pipes=True), SAMPLES)


ID3 = b"ID3\3\0\0\0\0\1\2" + bytes(130)


@pytest.mark.parametrize("extension, form", [("wav", "WAV"), ("flac", "FLAC"), ("ogg", "OGG"), ("aiff", "AIFF"), ("caf", "CAF")])
def test_a_tag_before_the_header(tmp_path, extension, form, logged):
    """Of a player's: libsndfile refuses most of these, and what the header says is compared as without it."""
    plain, path = tmp_path / f"plain.{extension}", tmp_path / f"a.{extension}"
    soundfile.write(plain, PCM, 16000, format=form)
    path.write_bytes(ID3 + plain.read_bytes())
    assert np.array_equal(audio.read_audio(path), audio.read_audio(plain)) and not logged
    assert audio.audio_info(path).frames == 16000 and not audio.audio_info(path).plain
    path.write_bytes(ID3 + plain.read_bytes()[: -4000 if form != "OGG" else -400])
    with pytest.raises(UserError, match="truncated"):
        audio.audio_info(path)


def test_caf_of_an_open_size_and_with_a_wrong_one(tmp_path):
    """-1 is Apple's sign of a recording that goes on."""
    path = tmp_path / "a.caf"
    content = content_of(tmp_path, "caf", "CAF")
    path.write_bytes(with_size(bytearray(content), "caf", -5 + (1 << 64)))
    assert np.array_equal(audio.read_audio(path), SAMPLES) and audio.audio_info(path).note == ""


LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.29.100\0"


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("rest", [LIST, LIST + b"id3 \4\0\0\0abcd"])
def test_chunks_after_samples_of_an_open_size_are_no_samples(tmp_path, size, rest):
    """As a recorder leaves it that adds its name, and not the size, at the end."""
    path = tmp_path / "a.wav"
    path.write_bytes(with_size(content_of(tmp_path, "wav", "WAV"), "wav", size) + rest)
    assert np.array_equal(audio.read_audio(path), SAMPLES)
