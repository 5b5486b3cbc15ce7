"""The synthesised Mandarin corpus: reproducibility, layout, disjoint sets, characters that espeak-ng reads."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrlib.corpora import grammar, mini, mini_aishell1
from asrlib.corpora.aishell1 import prepare
from asrlib.utils.errors import UserError

TINY = {"train_minutes": 1.0, "dev_minutes": 0.2, "test_minutes": 0.3}


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    mini_aishell1.synthesise_aishell1(folder, seed=3, nj=1, **TINY)
    return folder / "data_aishell"


@pytest.fixture(scope="module")
def plans() -> dict[str, list[mini.Utterance]]:
    return {name: mini_aishell1.plan(name, 0, minutes) for name, minutes in (("train", 90), ("dev", 4), ("test", 6))}


def test_same_bytes_with_other_jobs(corpus, tmp_path):
    mini_aishell1.synthesise_aishell1(tmp_path, seed=3, nj=2, **TINY)
    assert digests(tmp_path / "data_aishell") == digests(corpus)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "data_aishell").rglob("*.wav")}
    mini_aishell1.synthesise_aishell1(tmp_path, seed=3, nj=2, **TINY)
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "data_aishell").rglob("*.wav")}, "kept"


def test_layout_is_aishells(corpus):
    for name in ("train", "dev", "test"):
        tables = prepare(corpus, name)
        assert not any(table.problems for table in tables.values())
        assert all(" " not in text and text for text in tables["text"].rows.values())
        for utt, path in tables["wav.scp"].rows.items():
            info = soundfile.info(path)
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16") and 0.5 < info.frames / 16000 < 8
            assert Path(path).parent.name == utt[6:11]


def test_no_sentence_and_no_voice_in_two_sets(plans):
    texts = {name: {utterance.text for utterance in utterances} for name, utterances in plans.items()}
    voices = {name: {utterance.speaker.voice for utterance in utterances} for name, utterances in plans.items()}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not texts[one] & texts[other] and not voices[one] & voices[other]
    assert len(voices["train"]) == 40 and len(voices["test"]) == 5
    assert all(len(texts[name]) == len(plans[name]) for name in plans)


def test_every_character_is_learnt(plans):
    characters = {name: set("".join(u.text for u in utterances)) - {" "} for name, utterances in plans.items()}
    assert len(characters["train"]) >= 150 and not characters["test"] - characters["train"] and not characters["dev"] - characters["train"]
    counts = {c: sum(c in u.text for u in plans["train"]) for c in characters["test"]}
    assert min(counts.values()) >= 5, sorted(counts, key=counts.get)[:5]


def test_utterances_last_as_long_as_planned(corpus):
    """Hence a set has about the requested minutes."""
    seconds = sum(soundfile.info(str(path)).duration for path in (corpus / "wav/train").rglob("*.wav"))
    plan = mini_aishell1.plan("train", 3, 1.0)
    expected = sum(mini_aishell1.SILENCE + mini_aishell1.SECONDS_PER_CHARACTER * len(u.text.replace(" ", "")) / u.rate for u in plan)
    assert len(plan) >= 40 and abs(seconds / expected - 1) < 0.1


def test_speech_is_there(corpus):
    for path in list((corpus / "wav/test").rglob("*.wav"))[:10]:
        audio, _ = soundfile.read(path)
        assert np.abs(audio).max() > 0.05 and np.sqrt((audio**2).mean()) > 0.005


def test_a_real_corpus_is_not_replaced(tmp_path):
    (tmp_path / "data_aishell/wav").mkdir(parents=True)
    with pytest.raises(UserError, match="exists and was not synthesised"):
        mini_aishell1.synthesise_aishell1(tmp_path, **TINY)


def test_characters_are_those_that_espeak_reads():
    """No character that it skips, none that it is known to misread."""
    text = {c for line in grammar.MANDARIN.splitlines() for c in line if "\u4e00" <= c <= "\u9fff"}
    assert not text & set("兄胸") and len(text) >= 150
