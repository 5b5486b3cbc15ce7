"""Utterances of several recordings: joining, reading, and all operations on directories."""

import numpy as np
import pytest
import soundfile

from asrlib.bin import combine_data, concat_data, subset_data, validate_data
from asrlib.corpora import kaldi_ops, manifests
from asrlib.corpora.durations import seconds, with_durations
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.corpora.kaldi_fix import accept, fix
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.corpora.kaldi_validate import Rules, validate
from asrlib.utils.errors import UserError


@pytest.fixture
def five(tmp_path, make_audio):
    """A data directory: three utterances of speaker a at 8 kHz and 16 kHz, two of speaker b, of different lengths."""
    folder = tmp_path / "five"
    utts = {"a-1": 0.5, "a-2": 0.25, "a-3": 0.4, "b-1": 0.3, "b-2": 0.2}
    tables = {
        "wav.scp": {utt: str(make_audio(tmp_path / "wav" / f"{utt}.wav", length, 8000 if utt == "a-2" else 16000)) for utt, length in utts.items()},
        "text": {utt: f"WORDS {utt}" for utt in utts},
        "utt2spk": {utt: utt[0] for utt in utts},
        "spk2gender": {"a": "m", "b": "f"},
    }
    KaldiDir(tables).write(folder)
    return folder


def problems(folder, **rules):
    return [str(problem) for problem in validate(folder, Rules(**rules))]


def test_consecutive_utterances_of_a_speaker(five):
    joined = kaldi_ops.concat(KaldiDir.read(five), 2)
    assert joined.parts == {"a-1_2": "a-1 a-2", "a-3_1": "a-3", "b-1_2": "b-1 b-2"}, "a group has one speaker, the rest is shorter"
    assert joined.utt2spk == {"a-1_2": "a", "a-3_1": "a", "b-1_2": "b"} and joined.text["b-1_2"] == "WORDS b-1 WORDS b-2"
    assert joined.tables["spk2gender"] == {"a": "m", "b": "f"} and joined.wav == KaldiDir.read(five).wav
    assert list(kaldi_ops.concat(KaldiDir.read(five), 6).parts) == ["a-1_3", "b-1_2"]


def test_audio_is_that_of_the_parts(five, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "wav").iterdir()}
    data = KaldiDir.read(five)
    singles = {utterance.id: utterance.audio(16000) for utterance in data.utterances()}
    for utterance in kaldi_ops.concat(data, 3).utterances():
        parts = [singles[utt] for utt in data.utt2spk if data.utt2spk[utt] == utterance.speaker]
        assert np.array_equal(utterance.audio(16000), np.concatenate(parts))
        assert utterance.seconds() == sum(soundfile.info(wav).duration for wav in utterance.wavs)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "wav").iterdir()} == before, "nothing is written"


def test_rates_of_the_parts(five):
    a, b = kaldi_ops.concat(KaldiDir.read(five), 6).utterances()
    with pytest.raises(UserError, match="utterance a-1_3: its parts have different sample rates"):
        a.audio(None)
    assert len(b.audio(None)) == 8000 and len(a.audio(8000)) == 8000 * 1.15


def test_a_reader_of_one_recording_refuses(five, tmp_path):
    joined = next(kaldi_ops.concat(KaldiDir.read(five), 2).utterances())
    with pytest.raises(UserError, match="a-1_2 has 2 recordings"):
        joined.wav  # noqa: B018
    concat_data.main(["--data_dir", str(five), "--out", str(tmp_path / "joined")])
    with pytest.raises(UserError, match="before concatenation"):
        manifests.read([tmp_path / "joined"])


def test_bad_part_is_named(five, tmp_path):
    (tmp_path / "wav/a-2.wav").write_bytes(b"")
    joined = next(kaldi_ops.concat(KaldiDir.read(five), 2).utterances())
    for read in (joined.audio, joined.seconds):
        with pytest.raises(UserError, match="utterance a-1_2: .*a-2.wav is empty"):
            read()


def test_the_command_and_what_follows_it(five, tmp_path, capsys):
    joined, part, other, again = (tmp_path / name for name in ("joined", "part", "other", "again"))
    concat_data.main(["--data_dir", str(five), "--out", str(joined), "--num", "2"])
    assert capsys.readouterr().out == f"{joined}: 3 utterances, 0.00 hours, joined from the 5 of {five}\n"
    assert validate_data.main([str(joined), "--audio", "true"]) == 0
    assert read_table(joined / "utt2dur").rows == {"a-1_2": "0.750000", "a-3_1": "0.400000", "b-1_2": "0.500000"}
    subset_data.main([str(joined), str(part), "--speakers", "a"])
    assert list(KaldiDir.read(part).wav) == ["a-1", "a-2", "a-3"], "the recordings that are in use"
    subset_data.main([str(joined), str(other), "--speakers", "b"])
    combine_data.main([str(again), str(part), str(other)])
    assert KaldiDir.read(again) == KaldiDir.read(joined)
    with pytest.raises(UserError, match="utt2parts is missing in x, but not in the others"):
        kaldi_ops.combine([KaldiDir.read(five), KaldiDir.read(joined)], ["x", "y"])


def test_split_and_concatenated_twice(five):
    joined = kaldi_ops.concat(with_durations(KaldiDir.read(five)), 2)
    rest, part = kaldi_ops.split(joined, 0.34, seed=1)
    assert len(rest) == 2 and len(part) == 1 and not rest.wav.keys() & part.wav.keys()
    twice = kaldi_ops.concat(joined, 2)
    assert twice.parts == {"a-1_2_3": "a-1 a-2 a-3", "b-1_2_2": "b-1 b-2"} and twice.tables["utt2dur"]["a-1_2_3"] == "1.150000"


def test_durations_are_read_once(five, monkeypatch):
    data = KaldiDir.read(five)
    joined = kaldi_ops.concat(data, 2)
    assert sorted(joined.utt2spk) == ["a-1_2", "a-3_1", "b-1_2"] and seconds(joined) == pytest.approx([0.75, 0.4, 0.5])
    known = with_durations(data)
    monkeypatch.setattr(Utterance, "seconds", None)
    assert seconds(kaldi_ops.concat(known, 2)) == pytest.approx([0.75, 0.4, 0.5])
    known.tables["utt2dur"]["a-1"] = "long"
    with pytest.raises(UserError, match="utt2dur: a-1 has 'long'"):
        seconds(known)


def test_durations_of_segments_and_commands(five, tmp_path):
    data = KaldiDir.read(five)
    segments = {"a-1": "a-1 0.1 0.3", "a-2": "a-2 0.05 -1", "a-3": "a-3 0 0.4", "b-1": "b-1 0 0.1", "b-2": "b-2 0 0.2"}
    cut = KaldiDir({**data.tables, "segments": segments})
    assert seconds(cut) == pytest.approx([0.2, 0.2, 0.4, 0.1, 0.2])
    data.wav["a-1"] = f"cat {tmp_path}/wav/a-1.wav |"
    with pytest.raises(UserError, match="utterance a-1: wav.scp has a command"):
        seconds(data)


def test_durations_name_every_file_that_cannot_be_read(five, tmp_path, logged):
    data = KaldiDir.read(five)
    data.wav["a-2"], data.wav["b-1"] = str(tmp_path / "x.wav"), str(tmp_path / "y.wav")
    with pytest.raises(UserError, match="2 of 5 utterances cannot be read, utterance a-2: audio file .*x.wav does not exist.*; drop them"):
        seconds(data)
    assert [line.partition(":")[0] for line in logged] == ["utterance a-2", "utterance b-1"]


def test_accepting_a_directory_writes_utt2dur(five):
    tables = {path.name: read_table(path) for path in five.iterdir()}
    assert accept(five, tables, Rules(audio=True), repairing=False).data.tables["utt2dur"]["a-2"] == "0.250000"
    assert "utt2dur" not in accept(five, tables, Rules(), repairing=False).data.tables


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a-1_2": "a-1 a-9", "a-3_1": "a-3", "b-1_2": "b-1 b-2"}, "wav.scp: missing id of utt2parts (a-9)"),
        ({"a-1_2": "a-1", "a-3_1": "a-3", "b-1_2": "b-1 b-2"}, "wav.scp, line 2: id is not in utt2parts (a-2)"),
        ({"a-3_1": "a-3", "b-1_2": "b-1 b-2"}, "utt2parts: missing id of utt2spk (a-1_2)"),
    ],
)
def test_faults_of_utt2parts(five, tmp_path, change, message):
    kaldi_ops.concat(KaldiDir.read(five), 2).write(tmp_path / "joined")
    assert problems(tmp_path / "joined", audio=True) == []
    write_table(tmp_path / "joined/utt2parts", change)
    assert any(message in line for line in problems(tmp_path / "joined")), problems(tmp_path / "joined")
    result = fix(tmp_path / "joined")
    assert problems(tmp_path / "joined", audio=True) == [] and set(result.dropped) == ({"a-1_2"} if change.get("a-1_2") != "a-1" else set())


def test_a_part_that_cannot_be_read_costs_the_whole(five, tmp_path):
    kaldi_ops.concat(KaldiDir.read(five), 2).write(tmp_path / "joined")
    (tmp_path / "wav/b-2.wav").write_bytes(b"")
    result = fix(tmp_path / "joined", Rules(audio=True))
    assert list(result.dropped) == ["b-1_2"] and "b-2.wav is empty" in result.dropped["b-1_2"]
    assert list(result.data.wav) == ["a-1", "a-2", "a-3"] and problems(tmp_path / "joined", audio=True) == []


def test_what_cannot_be_concatenated(five, logged):
    data = KaldiDir.read(five)
    with pytest.raises(UserError, match="give 2 or more"):
        kaldi_ops.concat(data, 1)
    cut = KaldiDir({**data.tables, "segments": {utt: f"{utt} 0 -1" for utt in data.utt2spk}})
    with pytest.raises(UserError, match="segments cannot be concatenated"):
        kaldi_ops.concat(cut, 2)
    both = KaldiDir({**kaldi_ops.concat(data, 2).tables, "segments": {}})
    with pytest.raises(UserError, match="segments and utt2parts are mutually exclusive"):
        next(both.utterances())
    assert "utt2lang" not in kaldi_ops.concat(KaldiDir({**data.tables, "utt2lang": dict.fromkeys(data.utt2spk, "zh")}), 2).tables
    assert logged == ["dropped utt2lang: its values are unknown for joined utterances"]


def test_segments_beside_parts_are_a_fault(five, tmp_path):
    joined = kaldi_ops.concat(KaldiDir.read(five), 2)
    joined.tables["segments"] = {utt: f"{utt[:3]} 0 -1" for utt in joined.utt2spk}
    joined.write(tmp_path / "both")
    assert any("utt2parts and segments are mutually exclusive" in line for line in problems(tmp_path / "both"))
    with pytest.raises(UserError, match="mutually exclusive"):
        fix(tmp_path / "both")
