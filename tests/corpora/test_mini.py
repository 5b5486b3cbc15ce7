"""The synthesised corpus: reproducibility, layout, disjoint sets."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrlib.corpora import acoustics, grammar, mini
from asrlib.corpora.espeak import Espeak
from asrlib.corpora.librispeech import prepare
from asrlib.utils.errors import UserError

TINY = {"train_minutes": 1.0, "dev_minutes": 0.3, "test_minutes": 0.4, "other_minutes": 0.3}


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    mini.synthesise_librispeech(folder, seed=3, nj=1, **TINY)
    return folder


@pytest.fixture(scope="module")
def plans() -> dict[str, list[mini.Utterance]]:
    return {name: mini.plan(name, 0, minutes) for name, minutes in zip(mini.SETS, (80, 4, 6, 4), strict=True)}


def test_same_bytes_in_another_second_with_other_jobs(corpus, tmp_path):
    mini.synthesise_librispeech(tmp_path, seed=3, nj=3, **TINY)
    assert digests(tmp_path) == digests(corpus)


def test_other_seed_is_made_anew_and_the_same_kept(tmp_path):
    options = {"train_minutes": 0.1, "dev_minutes": 0.1, "test_minutes": 0.1, "other_minutes": 0.1}
    mini.synthesise_librispeech(tmp_path, seed=1, **options)
    first, inodes = digests(tmp_path), {path: path.stat().st_ino for path in tmp_path.rglob("*.flac")}
    mini.synthesise_librispeech(tmp_path, seed=1, **options)
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*.flac")} == inodes
    mini.synthesise_librispeech(tmp_path, seed=1, **options | {"test_minutes": 0.5})
    changed = {name.split("/")[1] for name, digest in digests(tmp_path).items() if first.get(name) != digest}
    assert changed == {"test-clean", "SPEAKERS.TXT"}
    mini.synthesise_librispeech(tmp_path, seed=2, **options)
    anew = digests(tmp_path)
    assert not any(first.get(name) == digest for name, digest in anew.items() if name.endswith(".flac"))


def test_killed_run_ends_as_if_it_had_not_been(corpus, tmp_path):
    code = f"from asrlib.corpora.mini import synthesise_librispeech as s; s({str(tmp_path)!r}, seed=3, nj=1, **{TINY})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    train, dev = tmp_path / "LibriSpeech" / "train-clean-100", tmp_path / "LibriSpeech" / "dev-clean"
    while not list(dev.parent.glob(".dev-clean.*.tmp/*/*/*.flac")):  # in the middle of the second set
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (train / mini.MARK).exists()
    assert not dev.exists()
    made = (train / mini.MARK).stat().st_ino
    mini.synthesise_librispeech(tmp_path, seed=3, **TINY)
    assert (train / mini.MARK).stat().st_ino == made
    assert digests(tmp_path) == digests(corpus)


def test_layout_is_what_the_preparation_of_librispeech_reads(corpus):
    folder = corpus / "LibriSpeech"
    for name, part in mini.SETS.items():
        tables = prepare(folder, name)
        assert not any(table.problems for table in tables.values())
        wavs, texts = tables["wav.scp"].rows, tables["text"].rows
        assert list(wavs) == [utterance.id for utterance in mini.plan(name, 3, dict(zip(mini.SETS, TINY.values(), strict=True))[name])]
        assert all(text == text.upper() for text in texts.values())
        assert len(tables["spk2gender"].rows) == sum(len(variants.split()) for _, variants, _ in part.voices)
        assert set(tables["spk2gender"].rows.values()) == {"f", "m"}
        for path in wavs.values():
            info = soundfile.info(path)
            assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16000, 1)
            assert 0.6 < info.duration < 12


def test_minutes_are_about_those_asked_for(corpus, tmp_path):
    facts = mini.synthesise_librispeech(tmp_path, seed=0, train_minutes=0.1, dev_minutes=2, test_minutes=2, other_minutes=0.1)
    for name in ("dev-clean", "test-clean"):
        files = (tmp_path / "LibriSpeech" / name).rglob("*.flac")
        assert facts[name]["minutes"] == pytest.approx(sum(soundfile.info(path).duration for path in files) / 60)
        assert facts[name]["minutes"] == pytest.approx(2, rel=0.15)


def test_sets_share_neither_sentences_nor_voices(plans):
    texts = [utterance.text for plan in plans.values() for utterance in plan]
    assert len(texts) == len(set(texts))
    variants = [{utterance.speaker.voice.split("+")[1] for utterance in plan} for plan in plans.values()]
    assert sum(map(len, variants)) == len(set.union(*variants))
    assert len(variants[0]) >= 20
    assert len(variants[2]) >= 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_test_word_is_trained_on(seed):
    train = {word for utterance in mini.plan("train-clean-100", seed, 80) for word in utterance.text.split()}
    assert {letter for word in train for letter in word} == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ'")
    for name in ("dev-clean", "test-clean", "test-other"):
        words = {word for utterance in mini.plan(name, seed, 4) for word in utterance.text.split()}
        assert len(words) >= 60
        assert words <= train


def test_sentences_have_2_to_12_words(plans):
    lengths = {len(utterance.text.split()) for utterance in plans["train-clean-100"]}
    assert min(lengths) == 2
    assert max(lengths) == 12


def test_a_used_up_grammar_ends():
    source = grammar.sentences("sentence = GOOD day\nday = MORNING | NIGHT", 0, range(16))
    assert {next(source), next(source)} == {"GOOD MORNING", "GOOD NIGHT"}
    with pytest.raises(ValueError, match="2 drawn"):
        next(source)


@pytest.mark.parametrize("snr", [5, 12, 30])
def test_noise_has_the_ratio_asked_for(snr):
    speech = np.random.default_rng(0).standard_normal(32000) * np.sin(np.arange(32000) / 3000)
    response = acoustics.room_response(np.random.default_rng(1))
    recording = acoustics.record(speech, response, snr, np.random.default_rng(2)).astype(float)
    heard = np.convolve(speech, response)
    lag = np.argmax(np.abs(np.correlate(recording, heard, "valid")))
    window = recording[lag : lag + len(heard)]
    scale = window @ heard / (heard @ heard)
    assert 10 * np.log10(np.sum((scale * heard) ** 2) / np.sum((window - scale * heard) ** 2)) == pytest.approx(snr, abs=0.5)
    assert 32767 * 10 ** (-12 / 20) - 1 <= np.max(np.abs(recording)) <= 32767 * 10 ** (-3 / 20) + 1


def test_speech_stands_above_the_noise_in_files(corpus):
    def ratio(path):
        samples, rate = soundfile.read(path)
        frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160].std(axis=1)
        return 20 * np.log10(np.quantile(frames, 0.8) / np.median(frames[:8]))  # it begins with at least 0.1 s of noise

    clean, other = ([ratio(path) for path in sorted((corpus / "LibriSpeech" / name).rglob("*.flac"))] for name in ("test-clean", "test-other"))
    assert min(clean) > 8
    assert np.median(other) < np.median(clean)


def test_room_rings_for_less_than_half_a_second():
    responses = [acoustics.room_response(np.random.default_rng(seed)) for seed in range(20)]
    assert all(len(response) < 8000 and np.argmax(np.abs(response)) < 2 for response in responses)
    assert len({response.tobytes() for response in responses}) == 20


def test_each_utterance_of_espeak_is_independent():
    with Espeak() as one, Espeak() as two:
        breathy = one.speak("the old doctor", "en-us+f5", seed=5)
        time.sleep(1.1)  # the library's own seed is the time in seconds
        two.speak("another sentence before it", "en-gb-x-rp+m3", rate=200)
        np.testing.assert_array_equal(two.speak("the old doctor", "en-us+f5", seed=5), breathy)
        assert not np.array_equal(two.speak("the old doctor", "en-us+f5", seed=6), breathy)
        slow, fast = one.speak("the old doctor", "en+m1", rate=120), one.speak("the old doctor", "en+m1", rate=240)
        assert len(slow) > 1.5 * len(fast)


def test_unknown_voice_is_refused_and_the_process_goes_on():
    with Espeak() as espeak:
        with pytest.raises(ValueError, match="en-nowhere"):
            espeak.speak("hello", "en-nowhere")
        assert len(espeak.speak("hello", "en-us")) > 5000


def test_killed_synthesiser_is_one_line():
    with Espeak() as espeak:
        espeak.process.kill()
        espeak.process.wait()
        with pytest.raises(UserError, match="killed.*again"):
            espeak.speak("hello", "en-us")


@pytest.mark.parametrize(
    "module",
    ["raise ImportError('no wheel for this platform')", "get_library_path = lambda: '/nonexistent/libespeak-ng.so'"],
)
def test_missing_library_is_one_line(tmp_path, monkeypatch, module):
    (tmp_path / "espeakng_loader.py").write_text(module + "\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match="no wheel|nonexistent.*setup.sh"):
        mini.synthesise_librispeech(tmp_path / "out", **TINY)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_real_corpus_is_never_replaced(tmp_path):
    real = tmp_path / "LibriSpeech" / "train-clean-100" / "103" / "1240" / "103-1240.trans.txt"
    real.parent.mkdir(parents=True)
    real.write_text("103-1240-0000 HELLO\n")
    with pytest.raises(UserError, match="not synthesised.*--download_dir"):
        mini.synthesise_librispeech(tmp_path, **TINY)
    assert real.read_text() == "103-1240-0000 HELLO\n"


def test_no_framework_is_imported():
    code = "import sys, asrlib.corpora.mini, asrlib.corpora.espeak; print(sorted({'torch', 'mindspore', 'espeakng_loader'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert result.stdout.strip() == "[]"
