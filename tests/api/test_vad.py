"""Voice activity against Silero's own code, and the cutting of recordings into parts."""

import sys

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.api import vad
from asrlib.corpora.espeak import SAMPLE_RATE, Espeak
from asrlib.utils.errors import UserError

TEXTS = ("the quick brown fox", "jumps over the lazy dog", "and runs away from it")


@pytest.fixture(scope="module")
def phrases():
    """Phrases of espeak-ng at 16 kHz, each after two seconds of silence; begin and end of each in seconds."""
    found, spans, total = [], [], 0
    with Espeak() as espeak:
        for text in TEXTS:
            spoken = soxr.resample(espeak.speak(text, "en-us") / np.float32(32768), SAMPLE_RATE, vad.RATE)
            found += [np.zeros(2 * vad.RATE, np.float32), spoken]
            total += len(found[-2]) + len(spoken)
            spans.append(((total - len(spoken)) / vad.RATE, total / vad.RATE))
    return np.concatenate(found), spans


def test_probabilities_are_sileros(phrases):
    """Frame by frame in PyTorch, over more than one block; the last frame is not full."""
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    audio = np.concatenate([phrases[0], 0.01 * np.random.default_rng(0).normal(size=20 * vad.RATE + 99).astype(np.float32)])
    theirs = load_silero_vad().audio_forward(torch.from_numpy(audio)[None], vad.RATE)[0].numpy()
    torch.set_num_threads(threads)  # the import has set it to one
    ours = vad.probabilities(audio)
    assert len(ours) > vad.BLOCK
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("rate", [16000, 8000])
def test_phrases_are_found(phrases, rate):
    audio, spans = soxr.resample(phrases[0], vad.RATE, rate), phrases[1]
    apart = vad.speech(audio, rate, 2.5)
    assert len(apart) == len(spans)
    for (begin, end), (first, last) in zip(apart, spans, strict=True):
        assert abs(begin / rate - first) < 0.4 and abs(end / rate - last) < 0.5
    (whole,) = vad.speech(audio, rate, 30.0)
    assert whole == (apart[0][0], apart[-1][1])
    assert vad.speech(np.zeros(rate, np.float32), rate, 30.0) == []


def test_a_long_phrase_is_cut_where_speech_is_least_sure():
    probs = np.full(100, 0.9)
    probs[[40, 70]] = 0.5, 0.45
    assert vad.parts(probs, 80) == [(0, 70), (70, 100)]
    assert vad.parts(probs, 60) == [(0, 40), (40, 100)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 80)), max_size=12), st.integers(20, 200))
def test_parts_hold_all_speech(runs, longest):
    speech = np.repeat([run[0] for run in runs], [run[1] for run in runs]).astype(bool) if runs else np.zeros(0, bool)
    found = vad.parts(np.where(speech, 0.9, 0.1), longest)
    inside = np.zeros(len(speech), bool)
    for begin, end in found:
        assert 0 < end - begin <= longest and not inside[begin:end].any()
        inside[begin:end] = True
    assert inside[speech].all() and found == sorted(found)


def test_without_the_package(monkeypatch):
    vad._session.cache_clear()
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    monkeypatch.setattr(vad.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="silero-vad: run tools/setup.sh"):
        vad.probabilities(np.zeros(512, np.float32))
