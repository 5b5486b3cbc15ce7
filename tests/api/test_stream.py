"""Streaming against the whole recording in the twin and in MindSpore: outputs, texts, words; pipes; models that cannot stream."""

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soxr

import asrlib
from asrlib.api.networks import framework_of
from asrlib.api.stream import Stream
from asrlib.api.transcribe import listen
from asrlib.bin import pack
from asrlib.bin import transcribe as command
from asrlib.config.families import load_train_config
from asrlib.features.spectrogram import RunningNorm, log_spectrogram
from asrlib.utils.errors import UserError
from tests.pt.test_export import DEEPSPEECH2, JASPER, experiment

ROOT = Path(__file__).resolve().parents[2]
STREAMING = f"{DEEPSPEECH2} model_conf.bidirectional=false features.normalize_causal=true"
KINDS = {
    "lstm": STREAMING,
    "gru with layer norm": f"{STREAMING} model_conf.rnn_type=gru model_conf.rnn_norm=layer model_conf.lookahead_context=3 model_conf.hidden_layers=3",
    "rnn without normalisation": f"{DEEPSPEECH2} model_conf.bidirectional=false model_conf.rnn_type=rnn features.normalize=false",
}
RATE = 2000


@pytest.fixture(scope="module")
def exps(tmp_path_factory):
    """An experiment of each kind, whose weights give texts of several letters; made when it is asked for."""
    folder, made = tmp_path_factory.mktemp("streaming"), {}

    def make(kind):
        if kind not in made:
            experiment(folder / kind, KINDS[kind])
            louder(folder / kind / "pt/model.safetensors")
            made[kind] = folder / kind
        return made[kind]

    return make


def louder(weights):
    """Larger weights and moving statistics that are not those of the initialisation."""
    from safetensors.numpy import load_file, save_file

    rng, arrays = np.random.default_rng(1), load_file(weights)
    for name, array in arrays.items():
        if "running" in name:
            arrays[name] = (array + 0.1 * rng.random(array.shape)).astype(np.float32)
        elif array.ndim > 1:
            arrays[name] = 1.5 * array
    save_file(arrays, weights)


@pytest.fixture(scope="module")
def audio():
    """Tones and noise of 5.3 s."""
    rng, time = np.random.default_rng(0), np.arange(400) / RATE
    tones = [0.3 * np.sin(2 * np.pi * pitch * time) for pitch in rng.choice([200, 400, 700, 0], 26)]
    return (np.concatenate([*tones, np.zeros(201)]) + 0.01 * rng.normal(size=26 * 400 + 201)).astype(np.float32)


def in_parts(stream, samples, sizes):
    """The outputs for parts of the sizes, again and again, and of the end."""
    found, begin = [], 0
    while begin < len(samples):
        size = sizes[len(found) % len(sizes)]
        found.append(stream.log_probs(samples[begin : begin + size]))
        begin += size
    return np.concatenate([*found, stream.log_probs(samples[:0], True)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[200], [1, 7, 1500], [10**6]])
def test_outputs_are_those_of_the_whole(exps, audio, kind, sizes):
    model = asrlib.load(exps(kind), framework="pytorch")
    (whole,) = model._network.log_probs([audio])
    found = in_parts(Stream(exps(kind)), audio, sizes)
    assert found.shape == whole.shape and np.abs(whole).max() > 1
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_outputs_are_those_of_mindspore(trained_causal, audio):
    (whole,) = asrlib.load(trained_causal, framework="mindspore")._network.log_probs([audio])
    np.testing.assert_allclose(in_parts(Stream(trained_causal), audio, [333]), whole, atol=1e-5)


@pytest.fixture(scope="module")
def trained_causal(tmp_path_factory):
    """An experiment with MindSpore's weights alone."""
    from asrlib.config.base import save_config
    from asrlib.ms.checkpoint.weights import network_arrays
    from asrlib.ms.models import make_network
    from asrlib.text.tokenizers import CharTokenizer
    from asrlib.utils.arrays import save_arrays

    folder, tokenizer = tmp_path_factory.mktemp("mindspore"), CharTokenizer(["A", "B", "C", "<space>", "<blank>"])
    config = load_train_config(None, KINDS["gru with layer norm"].split())
    save_config(config, folder / "config.yaml")
    tokenizer.save(folder / "tokens.txt")
    save_arrays(folder / "model.safetensors", network_arrays(make_network(config, len(tokenizer.tokens))))
    return folder


@pytest.mark.parametrize("count", [0, 1, 39, 40, 41, 400])
def test_clips(exps, audio, count):
    """Less than a window (40 samples) has no frames, as offline."""
    model = asrlib.load(exps("lstm"), framework="pytorch")
    stream = model.stream()
    stream.accept(audio[:count])
    result, whole = stream.finish(), model.transcribe(audio[:count], RATE)
    assert (result.text, result.seconds, len(stream._path) > 0) == (whole.text, whole.seconds, count >= 40)


def test_texts_and_words_are_those_of_transcribe(exps, audio):
    model = asrlib.load(exps("lstm"), framework="pytorch")
    stream, texts = model.stream(), []
    for begin in range(0, len(audio), 150):
        texts.append(stream.accept((audio[begin : begin + 150] * 32767).astype(np.int16)))
    result, whole = stream.finish(), model.transcribe((audio * 32767).astype(np.int16), RATE)
    assert result.text == whole.text and len(result.text) > 3 and len(set(texts)) > 3, "the text grows"
    assert all(after.startswith(before) for before, after in zip(texts, [*texts[1:], result.text], strict=True))
    assert [word.text for word in result.words] == [word.text for word in whole.words]
    for word, other in zip(result.words, whole.words, strict=True):
        assert (word.begin, word.end, word.confidence) == pytest.approx((other.begin, other.end, other.confidence), abs=1e-4)
    assert result.nbest[0].tokens == whole.nbest[0].tokens and result.nbest[0].score == pytest.approx(whole.nbest[0].score, abs=1e-2)
    with pytest.raises(UserError, match="has ended"):
        stream.accept(audio)


def test_look_ahead(exps, audio):
    """No output depends on later samples than it says, and some on the last of them."""
    ahead = round(Stream(exps("lstm")).look_ahead * RATE)
    changed = audio.copy()
    changed[6000:] += 0.1
    first, second = (in_parts(Stream(exps("lstm")), samples, [500]) for samples in (audio, changed))
    frame = int(np.flatnonzero(np.abs(first - second).max(-1) > 1e-7)[0])
    assert 0 < frame * 40 + ahead - 6000 <= 40  # frames of 20 ms


def test_other_rates(exps, audio):
    """Resampled as it arrives; soxr's stream and its whole differ by rounding."""
    twice = soxr.resample(audio, RATE, 2 * RATE)
    model = asrlib.load(exps("lstm"), framework="pytorch")
    stream = model.stream(2 * RATE)
    for begin in range(0, len(twice), 333):
        stream.accept(twice[begin : begin + 333])
    assert stream.finish().text == model.transcribe(twice, 2 * RATE).text


def test_causal_normalisation(audio):
    """Frame by frame by its definition; the frames of a part do not depend on what follows."""
    words = f"{DEEPSPEECH2} features.normalize=false".split()
    plain = log_spectrogram(audio, load_train_config(None, words).features).astype(np.float64)
    found = log_spectrogram(audio, load_train_config(None, KINDS["lstm"].split()).features)
    prior = np.concatenate([np.full((50, 21), 0.07 - 0.21), np.full((50, 21), 0.07 + 0.21)])
    for frame in (0, 1, 300, len(plain) - 1):
        known = np.concatenate([prior, plain[: frame + 1]])
        np.testing.assert_allclose(found[frame], (plain[frame] - known.mean()) / known.std(), atol=1e-4)
    norm, spectrum = RunningNorm(), plain.astype(np.float32)
    parts = [norm(spectrum[begin : begin + 7].copy()) for begin in range(0, len(spectrum), 7)]
    np.testing.assert_allclose(np.concatenate(parts), found, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (DEEPSPEECH2, "recurrent layers run from both ends and its features are normalised over the whole recording: train a DeepSpeech2 with"),
        (f"{DEEPSPEECH2} model_conf.bidirectional=false", "because its features are normalised over the whole recording"),
        (f"{STREAMING} features.pad_mode=reflect", "its first frame mirrors later samples"),
        (JASPER, "jasper sees both sides of every frame"),
    ],
)
def test_models_that_cannot_stream(tmp_path, words, message):
    experiment(tmp_path, words)
    with pytest.raises(UserError, match=message):
        asrlib.load(tmp_path, framework="pytorch").stream()


def test_graphs_and_fine_tuned_models_cannot_stream(exps, tmp_path):
    for name in ("config.yaml", "tokens.txt"):
        (tmp_path / name).write_bytes((exps("lstm") / name).read_bytes())
    with pytest.raises(UserError, match="streaming needs weights"):
        Stream(tmp_path)
    (tmp_path / "inference").mkdir()
    assert framework_of(tmp_path, None) == "espnet"
    with pytest.raises(UserError, match="fine-tuned in ESPnet cannot stream.*bidirectional=false"):
        command.main(["--model", str(tmp_path), "--stream", "-"])


def pcm(audio):
    return (audio * 32767).astype("<i2").tobytes()


def wav(audio, size=None):
    """A WAV file with a chunk before its samples, one behind, and a size of its own."""
    data = pcm(audio)
    content = b"WAVE" + b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    tail = b"LIST" + struct.pack("<I", 4) + b"abcd" if size is None else b""
    return b"RIFF" + struct.pack("<I", 1000) + content + b"data" + struct.pack("<I", len(data) if size is None else size) + data + tail


@pytest.mark.parametrize("kind", ["raw", "wav", "wav of unknown length"])
def test_pipes(exps, audio, kind, monkeypatch, capsys, logged):
    data = {"raw": pcm(audio), "wav": wav(audio), "wav of unknown length": wav(audio, 0xFFFFFFFF)}[kind]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    expected = asrlib.load(exps("lstm"), framework="pytorch").transcribe((audio * 32767).astype(np.int16), RATE).text
    assert command.main(["--model", str(exps("lstm")), "--stream", "-"]) == 0
    assert capsys.readouterr().out == expected + "\n"
    assert logged[-1].startswith("5.3 s of audio: look-ahead 0.56 s, 54 chunks of ") and "real-time factor 0." in logged[-1]


def test_a_packed_model_in_a_process_of_its_own(exps, audio, tmp_path):
    """Without frameworks, words before the recording ends."""
    pack.main([str(exps("lstm")), "-o", str(tmp_path / "model.zip"), "--framework", "pytorch"])
    code = "import sys; from asrlib.bin import transcribe; transcribe.main(sys.argv[1:]); assert not {'torch', 'mindspore'} & sys.modules.keys()"
    words = [sys.executable, "-c", code, "--model", str(tmp_path / "model.zip"), "--stream", "-"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    process.stdin.write(pcm(audio))
    process.stdin.flush()
    early = os.read(process.stdout.fileno(), 1)
    rest, errors = process.communicate()
    assert process.returncode == 0, errors.decode()[-2000:]
    expected = asrlib.load(exps("lstm"), framework="pytorch").transcribe((audio * 32767).astype(np.int16), RATE)
    assert early and (early + rest).decode() == expected.text + "\n"


def test_formats_at_the_end(exps, audio, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(wav(audio))))
    assert command.main(["--model", str(exps("lstm")), "--stream", "-", "--format", "json", "--out", str(tmp_path / "out")]) == 0
    row = json.loads((tmp_path / "out").read_text())
    expected = asrlib.load(exps("lstm"), framework="pytorch").transcribe((audio * 32767).astype(np.int16), RATE)
    assert row["text"] == expected.text and [word["word"] for word in row["words"]] == [word.text for word in expected.words]


def test_ctrl_c_ends_the_recording(exps, audio):
    def blocks():
        yield audio[:6000]
        raise KeyboardInterrupt

    out = io.StringIO()
    result, _ = listen(Stream(exps("lstm")), blocks(), out)
    expected = asrlib.load(exps("lstm"), framework="pytorch").transcribe(audio[:6000], RATE)
    assert out.getvalue() == expected.text + "\n" and (result.text, result.seconds) == (expected.text, 3.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "ends within its WAV header"),
        (b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, RATE, 8000, 4, 32), "WAV of coding 3 with 32 bits: give 16-bit PCM"),
    ],
)
def test_other_pipes(exps, data, message, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    with pytest.raises(UserError, match=message):
        command.main(["--model", str(exps("lstm")), "--stream", "-"])


@pytest.mark.parametrize("words", [["--stream", "-", "a.wav"], [], ["--stream", "-", "--mode", "beam"], ["--stream", "-", "--chunk", "0"]])
def test_options_that_do_not_fit(words):
    with pytest.raises(SystemExit):
        command.main(["--model", "exp", *words])
