"""Hours of a corpus before it is prepared."""

import pytest

from asrlib.corpora import hours
from asrlib.corpora.aishell1 import HOURS
from asrlib.corpora.durations import with_durations
from asrlib.corpora.hours import corpus_hours
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import write_table


def test_of_tables_files_and_publications(kaldi, libri, tmp_path, make_audio):
    with_durations(KaldiDir.read(kaldi)).write(tmp_path / "known")
    write_table(tmp_path / "known" / "wav.scp", dict.fromkeys(("a-1", "a-2", "b-1", "b-2"), "nowhere"))
    (tmp_path / "wav" / "note.txt").write_text("")
    sources = [tmp_path / "known", kaldi, kaldi / "wav.scp", libri / "dev-clean", tmp_path / "nothing", kaldi / "text"]
    found = corpus_hours(sources, "librispeech")
    assert [hours.hours * 3600 for hours in found] == pytest.approx([2.0] * 4)
    assert found[0].origin.endswith("known/utt2dur") and found[3].origin == f"{libri}/dev-clean, 4 of 4 files"
    published = corpus_hours([tmp_path / "LibriSpeech/train-clean-100", tmp_path / "LibriSpeech/test-other"], "librispeech")
    assert [row.hours for row in published] == [100.6, 5.1] and published[0].origin == "train-clean-100, as published"
    assert corpus_hours([tmp_path / "data_aishell/wav", tmp_path / "data_aishell/transcript"], "aishell1")[0].hours == HOURS
    assert corpus_hours([tmp_path / "x"]) == corpus_hours([tmp_path / "x"], "an4") == []


def test_a_sample_of_many_files(tmp_path, make_audio, monkeypatch):
    for number in range(12):
        make_audio(tmp_path / "wav" / f"{number:02d}.wav", seconds=0.1 * (1 + number % 3))
    (tmp_path / "wav" / "00.wav").write_bytes(b"")
    monkeypatch.setattr(hours, "SAMPLE", 4)
    (tmp_path / "wav.scp").write_text("".join(f"u{number:02d} wav/{number:02d}.wav\n" for number in range(12)) + "x cat y |\n")
    (found,) = corpus_hours([tmp_path / "wav.scp"])
    assert found.hours * 3600 == pytest.approx(0.1 * 12) and "3 of 12 files" in found.origin, "00 cannot be read; 03, 06, 09 have 0.1 s"
