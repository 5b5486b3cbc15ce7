"""The synthesised corpus for pretraining: reproducibility, layout, and no leaks but the planted ones."""

import hashlib
from pathlib import Path

import pytest
import soundfile

from asrlib.bin import prepare_data
from asrlib.corpora import mini_aishell1, mini_aishell2
from asrlib.corpora.aishell2 import prepare
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.leaks import find_leaks
from asrlib.text.simplify import comparable, simplified
from asrlib.utils.errors import UserError

HELD = {"dev_minutes": 0.2, "test_minutes": 0.3}
TINY = {"minutes": 1.5, "leaks": 6, **HELD}


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """The two mini corpora of Mandarin, with the same seed."""
    folder = tmp_path_factory.mktemp("mini")
    mini_aishell2.synthesise_aishell2(folder, seed=3, nj=1, **TINY)
    mini_aishell1.synthesise_aishell1(folder, seed=3, train_minutes=0.1, **HELD)
    return folder


def held(seed: int) -> dict[str, dict[str, str]]:
    return {name: {u.id: u.text for u in mini_aishell1.plan(name, seed, minutes)} for name, minutes in (("dev", 4), ("test", 6))}


def test_same_bytes_with_other_jobs(corpora, tmp_path):
    mini_aishell2.synthesise_aishell2(tmp_path, seed=3, nj=2, **TINY)
    assert digests(tmp_path / "AISHELL-2") == digests(corpora / "AISHELL-2")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.wav")}
    mini_aishell2.synthesise_aishell2(tmp_path, seed=3, nj=2, **TINY)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.wav")}, "kept"


def test_layout_is_aishells(corpora, logged):
    tables = prepare(corpora / "AISHELL-2")
    assert not any(table.problems for table in tables.values()) and not [line for line in logged if "skipped" in line]
    assert len(tables["text"].rows) >= 40 and len(set(tables["utt2spk"].rows.values())) == 40
    for path in tables["wav.scp"].rows.values():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16") and 0.5 < info.frames / 16000 < 8


def test_planted_leaks_are_found_and_nothing_else(corpora, tmp_path):
    options = ["--corpus", "mini_aishell2", "--corpus_dir", corpora / "AISHELL-2", "--aishell1_dir", corpora / "data_aishell"]
    options += ["--data_dir", tmp_path / "data"]
    prepare_data.main([str(word) for word in options])
    planted = dict(line.split() for line in (corpora / "AISHELL-2/planted_leaks.txt").read_text().splitlines())
    found = [line.split("\t") for line in (tmp_path / "data/leaks.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    assert {row[0]: row[3] for row in found} == planted and len(planted) == 6
    left = {part for name in ("train", "dev") for parts in KaldiDir.read(tmp_path / "data" / name).parts.values() for part in parts.split()}
    assert left == prepare(corpora / "AISHELL-2")["text"].rows.keys() - planted.keys()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_leaks_of_the_whole_corpus(seed):
    rows = mini_aishell2.plan(seed, 90, 40)
    assert 1600 < len(rows) < 2000
    texts = {row.utterance.id: row.text for row in rows}
    leaks = find_leaks(KaldiDir({"utt2spk": texts, "text": texts}), held(seed), comparable)
    assert {leak.utt: leak.other for leak in leaks} == {row.utterance.id: row.leak for row in rows if row.leak}
    written = [row.text for row in rows if row.leak]
    assert len(written) == len(set(written)) == 40
    assert sum(simplified(text) != text for text in written) >= 10 and sum("。" in text or "！" in text for text in written) >= 10
    found_plainly = find_leaks(KaldiDir({"utt2spk": texts, "text": texts}), held(seed), lambda text: text.replace(" ", ""))
    assert 0 < len(found_plainly) < 30, "the others are only found when characters and punctuation are seen through"


def test_voices_are_never_those_of_dev_and_test():
    voices = {row.utterance.speaker.voice for row in mini_aishell2.plan(0, 90, 40)}
    tested = {u.speaker.voice for name in ("dev", "test") for u in mini_aishell1.plan(name, 0, 4)}
    assert not voices & tested and len(voices) == 40
    speakers = {row.utterance.speaker.number for row in mini_aishell2.plan(0, 90, 40)}
    assert not speakers & {utterance.speaker.number for utterance in mini_aishell1.plan("train", 0, 90)}


def test_traditional_characters_come_back():
    assert len(mini_aishell2.CHARACTERS) == len(mini_aishell2.SIMPLIFIED) == len(set(mini_aishell2.TRADITIONAL)) >= 60
    assert simplified(mini_aishell2.TRADITIONAL) == mini_aishell2.SIMPLIFIED


def test_a_real_corpus_is_not_replaced(tmp_path):
    (tmp_path / "AISHELL-2/iOS").mkdir(parents=True)
    with pytest.raises(UserError, match="exists and was not synthesised"):
        mini_aishell2.synthesise_aishell2(tmp_path, **TINY)
