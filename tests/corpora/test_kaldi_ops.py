"""Operations on data directories whose tables are on disk, against those in memory and against dictionaries."""

import random

import pytest

from asrlib.corpora.durations import seconds, with_durations, write_hours
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_ops import concat, select, split
from asrlib.corpora.leaks import find_leaks, without
from asrlib.utils import disk_sort
from asrlib.utils.errors import UserError
from asrlib.utils.keyed_lines import KeyedLines


def random_tables(draw: random.Random, kind: str) -> dict[str, dict[str, str]]:
    """Utterances whose ids do not begin with their speaker, so that both orders differ."""
    utts = sorted({f"{draw.choice('abc今')}{draw.randrange(1000)}{draw.choice(['', '_2', '-x'])}" for _ in range(60)})
    tables = {
        "utt2spk": {utt: draw.choice(["s1", "s10", "s2", "é"]) for utt in utts},
        "text": {utt: " ".join(draw.choice(["one", "two", "三"]) for _ in range(draw.randint(1, 3))) for utt in utts},
        "utt2dur": {utt: f"{draw.random() * 10:.{draw.choice([1, 6])}f}" for utt in utts},
        "utt2lang": dict.fromkeys(utts, "x"),
    }
    recordings = utts if kind == "own" else [f"r{number}" for number in range(20)]
    if kind == "segments":
        tables["segments"] = {utt: f"{draw.choice(recordings)} 0.5 {draw.choice(['-1', '2.5'])}" for utt in utts}
    if kind == "parts":
        tables["utt2parts"] = {utt: " ".join(draw.sample(recordings, draw.randint(1, 3))) for utt in utts}
    tables["wav.scp"] = {recording: f"/x/{recording}.wav" for recording in recordings}
    tables["spk2gender"] = dict.fromkeys(set(tables["utt2spk"].values()), "m")
    return tables


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(params=["own", "segments", "parts"])
def both(request, tmp_path, monkeypatch):
    """A directory in memory and on disk, for which three items fill the memory."""
    monkeypatch.setattr(disk_sort, "ITEMS", 3)
    KaldiDir(random_tables(random.Random(request.param), request.param)).write(tmp_path / "data")
    found = KaldiDir.read(tmp_path / "data"), KaldiDir.on_disk(tmp_path / "data")
    assert all(isinstance(rows, KeyedLines) for rows in found[1].tables.values())
    return found


def test_the_files_of_all_operations(both, tmp_path):
    written = []
    for data in both:
        some = sorted(data.utt2spk)[::3]
        results = [select(data, some), select(data, some, others=True), *split(data, 0.3, seed=2), with_durations(data)]
        if data.parts is None:
            leaks = find_leaks(data, {"x": {"x1": "two", "x2": "三 one"}}, str.strip)
            results.append(without(data, leaks))
        if data.segments is None:
            results += [concat(data, 2), concat(with_durations(data), 5)]
        written.append([])
        for result in results:
            result.write(tmp_path / "out")
            write_hours(tmp_path / "out" / "hours.tsv", {"result": result})
            written[-1].append(files(tmp_path / "out"))
    assert written[0] == written[1]


def test_selected_by_hand(both):
    data, on_disk = both
    some = set(sorted(data.utt2spk)[::3])
    found = select(on_disk, some, others=True)
    kept = {utt: speaker for utt, speaker in data.utt2spk.items() if utt not in some}
    assert found.utt2spk == kept and found.text == {utt: data.text[utt] for utt in kept} and len(found) == len(kept)
    used = {recording for utt in kept for recording in data.recordings(utt)}
    assert found.wav == {recording: path for recording, path in data.wav.items() if recording in used}
    assert found.tables["spk2gender"].keys() == set(kept.values())
    assert dict(found.all_recordings()) == {utt: data.recordings(utt) for utt in kept}


def test_joined_by_hand(both):
    data, on_disk = both
    if data.segments is not None:
        with pytest.raises(UserError, match="segments cannot be concatenated"):
            concat(on_disk, 3)
        return
    groups = {}
    for utt in sorted(data.utt2spk):
        groups.setdefault(data.utt2spk[utt], []).append(utt)
    expected = {"utt2spk": {}, "utt2parts": {}, "text": {}, "utt2dur": {}}
    for speaker, utts in groups.items():
        for begin in range(0, len(utts), 3):
            group = utts[begin : begin + 3]
            recordings = [recording for utt in group for recording in data.recordings(utt)]
            utt = f"{group[0]}_{len(recordings)}"
            expected["utt2spk"][utt], expected["utt2parts"][utt] = speaker, " ".join(recordings)
            expected["text"][utt] = " ".join(data.text[part] for part in group)
            expected["utt2dur"][utt] = f"{sum(float(data.tables['utt2dur'][part]) for part in group):.6f}"
    found = concat(on_disk, 3)
    assert {name: dict(found.tables[name]) for name in expected} == expected and found.wav == data.wav
    assert found.tables.keys() == expected.keys() | {"wav.scp", "spk2gender"}


def test_speakers(both):
    data, on_disk = both
    expected = {speaker: sorted(utt for utt in data.utt2spk if data.utt2spk[utt] == speaker) for speaker in sorted(set(data.utt2spk.values()))}
    assert {speaker: list(utts) for speaker, utts in on_disk.speakers()} == expected
    assert seconds(on_disk).tolist() == [float(data.tables["utt2dur"][utt]) for utt in sorted(data.utt2spk)]


def test_a_directory_is_written_to_its_own_place(both, tmp_path):
    data, on_disk = both
    some = sorted(data.utt2spk)[:7]
    select(data, some).write(tmp_path / "other")
    select(on_disk, some).write(tmp_path / "data")
    assert files(tmp_path / "data") == files(tmp_path / "other")


def test_an_utterance_that_a_table_lacks(both):
    data, _ = both
    if data.segments is None:
        missing = min(data.text)
        rest = {utt: words for utt, words in data.text.items() if utt != missing}
        with pytest.raises(UserError, match=f"{missing} is not in text: run validate_data"):
            concat(KaldiDir({**data.tables, "text": rest}), 2)
