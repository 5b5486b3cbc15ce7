"""Audio input: rates, channels, formats, segments, damaged files."""

import wave

import librosa
import numpy as np
import pytest
import soundfile

from asrlib.corpora import audio
from asrlib.utils.errors import UserError


@pytest.fixture
def tone() -> np.ndarray:
    """One second of 440 Hz and a little noise at 16 kHz, (16000,) float32."""
    time = np.arange(16000) / 16000
    return (0.4 * np.sin(2 * np.pi * 440 * time) + 0.01 * np.random.default_rng(0).normal(size=16000)).astype(np.float32)


@pytest.mark.parametrize("extension, tolerance", [("wav", 2**-15), ("flac", 2**-15), ("ogg", 0.04)])
def test_formats(tmp_path, tone, extension, tolerance):
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, tone, 16000)
    samples = audio.read_audio(path)
    assert samples.dtype == np.float32 and samples.shape == (16000,)
    assert np.abs(samples - tone).max() <= tolerance
    assert audio.audio_info(path) == audio.AudioInfo(16000, 1, 16000)


@pytest.mark.parametrize("form, subtype", [("WAV", "GSM610"), ("W64", "GSM610"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("NIST", "ULAW")])
def test_codecs_of_telephones(tmp_path, tone, form, subtype):
    """GSM 6.10 cannot be read from the middle; blocks may end after the recording."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone, 8000, format=form, subtype=subtype)
    info, samples = audio.check_audio(path), audio.read_audio(path, 8000)
    with soundfile.SoundFile(path) as sound:
        expected = sound.read(sound.frames, dtype="float32")
    assert np.array_equal(samples, expected) and info.frames == len(expected) >= 16000
    assert np.array_equal(audio.read_audio(path, 8000, start=0.5, end=1.0), expected[4000:8000])
    (tmp_path / "cut.wav").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="truncated"):
        audio.audio_info(tmp_path / "cut.wav")


def test_wav_agrees_with_the_standard_library(tmp_path, tone):
    path = tmp_path / "a.wav"
    audio.write_wav(path, tone)
    with wave.open(str(path)) as stream:
        assert (stream.getframerate(), stream.getnchannels(), stream.getsampwidth()) == (16000, 1, 2)
        pcm = np.frombuffer(stream.readframes(stream.getnframes()), np.int16)
    assert np.array_equal(audio.read_audio(path), pcm.astype(np.float32) / 32768)
    audio.write_wav(tmp_path / "b.wav", audio.read_audio(path))
    assert (tmp_path / "b.wav").read_bytes() == path.read_bytes()


def test_write_clips(tmp_path):
    audio.write_wav(tmp_path / "a.wav", np.array([-2.0, 2.0, 0.0]))
    assert np.array_equal(audio.read_audio(tmp_path / "a.wav"), np.array([-1, 32767 / 32768, 0], np.float32))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_resampling_agrees_with_librosa(tmp_path, rate):
    time = np.arange(rate) / rate
    source = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", source, rate, subtype="FLOAT")
    samples = audio.read_audio(tmp_path / "a.wav")
    reference = librosa.resample(source, orig_sr=rate, target_sr=16000, res_type="polyphase")
    assert abs(len(samples) - 16000) <= 1
    middle = slice(1000, 15000)  # the two filters differ at the ends
    assert np.abs(samples[middle] - reference[middle]).max() < 2e-3
    assert np.abs(samples[middle] - 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)[middle]).max() < 2e-3


def test_own_rate(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", tone, 8000)
    assert audio.read_audio(tmp_path / "a.wav", rate=None).shape == (16000,)


def test_segments(tmp_path, tone):
    soundfile.write(tmp_path / "a.flac", tone, 16000)
    whole = audio.read_audio(tmp_path / "a.flac")
    assert np.array_equal(audio.read_audio(tmp_path / "a.flac", start=0.25, end=0.5), whole[4000:8000])
    assert np.array_equal(audio.read_audio(tmp_path / "a.flac", start=0.5, end=1.2), whole[8000:])
    for start, end in [(1.0, None), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.6), (0.5, float("nan"))]:
        with pytest.raises(UserError, match="segment"):
            audio.read_audio(tmp_path / "a.flac", start=start, end=end)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("keep", [0.99, 0.5, 0.2])
def test_truncated(tmp_path, tone, extension, keep):
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, np.tile(tone, 3), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    for function in (audio.read_audio, audio.audio_info):
        with pytest.raises(UserError, match="truncated|damaged") as error:
            function(path)
        assert str(path) in str(error.value)


def test_missing_empty_and_headers_only(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        audio.read_audio(tmp_path / "none.wav")
    (tmp_path / "zero.flac").touch()
    with pytest.raises(UserError, match="0 bytes"):
        audio.read_audio(tmp_path / "zero.flac")
    audio.write_wav(tmp_path / "header.wav", np.zeros(0))
    with pytest.raises(UserError, match="no samples"):
        audio.audio_info(tmp_path / "header.wav")
    with pytest.raises(UserError, match="folder"):
        audio.read_audio(tmp_path)


@pytest.mark.parametrize("name", ["text.wav", "text.raw", "text.flac"])
def test_not_audio(tmp_path, name):
    (tmp_path / name).write_text("this is no audio file\n" * 10)
    with pytest.raises(UserError, match="not wav, flac or ogg"):
        audio.read_audio(tmp_path / name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path, tone, value):
    tone[1234] = value
    soundfile.write(tmp_path / "a.wav", tone, 16000, subtype="FLOAT")
    with pytest.raises(UserError, match="1 NaN or infinite samples, the first at sample 1234"):
        audio.read_audio(tmp_path / "a.wav")
    with pytest.raises(UserError, match="1234"):
        audio.check_audio(tmp_path / "a.wav")
    audio.audio_info(tmp_path / "a.wav")


def test_pipes(tmp_path, tone):
    soundfile.write(tmp_path / "a.flac", tone, 16000)
    command = f"cat '{tmp_path / 'a.flac'}' | cat |"
    with pytest.raises(UserError, match="--allow_pipes"):
        audio.read_wav_entry(command)
    assert np.array_equal(audio.read_wav_entry(command, allow_pipes=True), audio.read_audio(tmp_path / "a.flac"))
    assert audio.read_wav_entry(str(tmp_path / "a.flac")).shape == (16000,)
    for bad, message in [("cat /nonexistent/file | cat |", "failed with code 1"), ("true |", "no output"), ("echo text |", "not wav")]:
        with pytest.raises(UserError, match=message):
            audio.read_wav_entry(bad, allow_pipes=True)


def test_real_recordings(shared):
    """LibriSpeech flac at 16 kHz is unchanged bit by bit; 8 kHz wav doubles its samples."""
    flac = sorted((shared / "speech/librispeech").rglob("*.flac"))[0]
    reference, _ = soundfile.read(flac, dtype="float32")
    assert np.array_equal(audio.read_audio(flac), reference)
    wav = sorted((shared / "speech/fsdd/wav").glob("*.wav"))[0]
    assert audio.audio_info(wav).rate == 8000
    assert abs(len(audio.read_audio(wav)) - 2 * audio.audio_info(wav).frames) <= 1
