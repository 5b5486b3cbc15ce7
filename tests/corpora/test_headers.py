"""Headers of many audio files, read in processes."""

import numpy as np
import soundfile

from asrlib.corpora import audio_file
from asrlib.corpora.durations import seconds
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import read_table
from asrlib.corpora.kaldi_validate import Rules, check
from asrlib.utils import pool


def test_processes_find_the_same_in_audio(kaldi, tmp_path, monkeypatch, caplog):
    (tmp_path / "wav" / "a-2.wav").write_bytes((tmp_path / "wav" / "a-2.wav").read_bytes()[:-100])
    flac = (tmp_path / "wav" / "b-1.flac", tmp_path / "wav" / "b-1.wav")
    soundfile.write(flac[0], np.zeros(8000), 16000)
    flac[0].rename(flac[1])
    tables = [{path.name: read_table(path) for path in kaldi.iterdir()} for _ in range(2)]
    found, opened = [], [{}, {}]
    for few, table, infos in zip((2000, 0), tables, opened, strict=True):
        audio_file.warn_once.cache_clear()
        pool._told.clear()
        monkeypatch.setattr(pool, "FEW", few)
        found.append((check(kaldi, table, Rules(audio=True), infos), [record.getMessage() for record in caplog.records]))
        caplog.clear()
    assert found[0] == found[1] and "a-2" in str(found[0][0][0]) and "contain FLAC audio" in found[0][1][0]
    assert list(opened[0].items()) == list(opened[1].items()) and list(opened[0]) == ["a-1", "b-1", "b-2"]


def test_processes_find_the_same_durations(kaldi, monkeypatch):
    data = KaldiDir.on_disk(kaldi)
    expected = seconds(data)
    monkeypatch.setattr(pool, "FEW", 0)
    assert expected.min() > 0 and np.array_equal(seconds(data), expected)
