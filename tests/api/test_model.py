"""The recogniser on a model that hears the level of the sound: texts, times, confidences, n best, long recordings, threads."""

import threading

import numpy as np
import pytest
import soundfile

from asrlib.api import long, vad
from asrlib.api.long import Stretch
from asrlib.api.model import Model
from asrlib.decode.beam import BeamConfig, BeamDecoder, Hypothesis
from asrlib.decode.longform import Word
from asrlib.utils.errors import UserError
from tests.api.test_transcribe import HOP, RATE, TOKENS, Levels, sound


class Network(Levels):
    """Log-probabilities that add up to one, so that levels between two tokens are uncertain."""

    def log_probs(self, audios):
        scores = [x / 4 for x in super().log_probs(audios)]
        return [x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in scores]


@pytest.fixture
def model():
    return Model(Network(), "mindspore", "greedy", BeamConfig(beam_size=16))


def test_text_words_and_confidences(model, tmp_path):
    audio = sound("AB A")
    soundfile.write(tmp_path / "a.flac", audio, RATE)
    for result in (model.transcribe(tmp_path / "a.flac"), model.transcribe(str(tmp_path / "a.flac")), model.transcribe(audio, RATE)):
        assert (result.text, str(result), result.seconds) == ("AB A", "AB A", 0.8)
        assert [(word.text, round(word.begin, 3), round(word.end, 3)) for word in result.words] == [("AB", 0.0, 0.3), ("A", 0.6, 0.7)]
        assert all(0.3 < word.confidence < 1 for word in result.words)
        assert [hypothesis.text for hypothesis in result.nbest] == ["AB A"]


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int16, np.int32])
def test_arrays(model, kind):
    audio = sound("BA")
    given = (audio * np.iinfo(kind).max).astype(kind) if np.issubdtype(kind, np.integer) else audio.astype(kind)
    assert model.transcribe(given, RATE).text == "BA"
    assert model.transcribe(np.repeat(given, 2), 2 * RATE).text == "BA"


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (np.zeros(10), None, "an array needs its rate"),
        (np.zeros((10, 2)), RATE, r"an array of shape \(10, 2\): give \(samples,\)"),
        (np.zeros(10, np.uint8), RATE, "an array of uint8"),
        (np.array([np.nan]), RATE, "not numbers"),
        ("none.wav", None, "none.wav"),
    ],
)
def test_what_is_no_audio(model, audio, rate, message):
    with pytest.raises(UserError, match=message):
        model.transcribe(audio, rate)


def test_nbest_of_the_beam(model):
    result = model.transcribe(sound("AB"), RATE, mode="beam", nbest=3)
    assert result.text == result.nbest[0].text == "AB" and len({hypothesis.text for hypothesis in result.nbest}) == 3
    scores = [hypothesis.score for hypothesis in result.nbest]
    assert scores == sorted(scores, reverse=True)
    assert [(word.text, round(word.begin, 3), round(word.end, 3)) for word in result.words] == [("AB", 0.0, 0.3)]


@pytest.mark.parametrize(
    ("mode", "nbest", "message"), [("joint", 1, "this model has greedy, beam"), ("magic", 1, "mode"), ("beam", 0, "give 1 or more")]
)
def test_what_the_model_does_not_have(model, mode, nbest, message):
    with pytest.raises(UserError, match=message):
        model.transcribe(sound("A"), RATE, mode=mode, nbest=nbest)


@pytest.mark.parametrize("mode", ["greedy", "beam"])
def test_long_recordings(model, mode):
    """Windows of a second, parts cut at pauses: the text, times and best combinations of the whole."""
    model.window, model.overlap = 1.0, 0.4
    text = "AB A BB A AB BA"
    result = model.transcribe(sound(text), RATE, mode=mode, nbest=2)
    assert result.text == text and [word.text for word in result.words] == text.split()
    assert [word.begin for word in result.words] == pytest.approx([0.0, 0.6, 1.0, 1.6, 2.0, 2.6])
    assert len(result.nbest) == (1 if mode == "greedy" else 2) and result.nbest[0].text == text


def test_only_a_few_minutes_at_a_time(model, monkeypatch):
    """Of a long recording, the network computes two windows together, and the search has taken the first ones before it computes the last."""
    monkeypatch.setattr(long, "GROUP", 2.0)
    model.window, model.overlap = 1.0, 0.4
    events, compute, search = [], model._network.log_probs, BeamDecoder.decode
    model._network.log_probs = lambda audios: events.append(len(audios)) or compute(audios)
    monkeypatch.setattr(BeamDecoder, "decode", lambda self, x, n: events.append("search") or search(self, x, n))
    assert model.transcribe(sound("AB " * 8), RATE, mode="beam").text == " ".join(["AB"] * 8)
    assert events.count(2) == 4 and events.index("search") < 2 and "search" in events[2:-2]


@pytest.mark.parametrize("mode", ["greedy", "beam"])
def test_voice_activity(model, monkeypatch, mode):
    """Parts of speech are computed by themselves; words are joined with a space and have their times in the recording."""
    asked = []
    spans = [(0, 6 * HOP), (10 * HOP, 12 * HOP)]
    monkeypatch.setattr(vad, "speech", lambda samples, rate, longest: asked.append((len(samples), rate, longest)) or spans)
    audio = sound("AB A B")
    model.window = 1.0
    result = model.transcribe(audio, RATE, mode=mode, vad=True)
    assert asked == [(12 * HOP, RATE, 1.0)] and result.text == "AB B"
    assert [(word.text, round(word.begin, 3), round(word.end, 3)) for word in result.words] == [("AB", 0, 0.3), ("B", 1.0, 1.1)]
    assert model.transcribe(sound("A"), RATE, mode=mode, vad=True).text == "A" and len(asked) == 1, "short ones are not cut"
    spans.clear()
    nothing = model.transcribe(audio, RATE, mode=mode, vad=True)
    assert (nothing.text, nothing.words, nothing.seconds, nothing.nbest[0].text) == ("", (), 1.2, "")


def test_texts_without_a_path_keep_their_words(model):
    part = Stretch(2.0, 0.5, np.log(np.full((2, 4), 0.25)), False)
    words = model._words(part, Hypothesis("AB A", 0.0, (0, 1, 2, 0)))
    assert words == [Word("AB", 2.0, 2.5, 0.0), Word("A", 2.5, 3.0, 0.0)]


def test_clips_and_nothing(model):
    assert model.transcribe_all([], RATE) == []
    for mode in ("greedy", "beam"):
        for result in model.transcribe_all([np.zeros(0), np.zeros(3)], RATE, mode=mode, nbest=2):
            assert (result.text, result.words) == ("", ()) and result.nbest[0].text == ""


def test_batches_and_threads(model):
    """The network computes for one thread at a time, all windows of a call together."""
    inside, calls = threading.Semaphore(1), []
    plain = model._network.log_probs

    def alone(audios):
        assert inside.acquire(blocking=False), "two threads in the network"
        calls.append(len(audios))
        outputs = plain(audios)
        inside.release()
        return outputs

    model._network.log_probs = alone
    texts = ["A", "BA", "A B"]
    found = [None] * 8
    threads = [threading.Thread(target=lambda i=i: found.__setitem__(i, model.transcribe_all([sound(t) for t in texts], RATE))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [3] * 8 and all([result.text for result in results] == texts for results in found)
    assert HOP and model.tokens == TOKENS
