"""Manifests: round trips of every pair of formats, published examples, and malformed input."""

import csv
import itertools
import json
import os
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile

from asrlib.bin import manifest
from asrlib.corpora import manifests
from asrlib.corpora.audio import read_audio
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import write_table
from asrlib.utils import disk_sort, pool
from asrlib.utils.errors import UserError

TARGETS = {"csv": "m.csv", "jsonl": "m.jsonl", "json": "m.json", "kaldi": "m"}


def convert(source, target, *options):
    manifest.main(["--from", *([source] if isinstance(source, (str, Path)) else source), "--to", str(target), *options])
    return target


@pytest.fixture
def plain(kaldi):
    (kaldi / "spk2gender").unlink()  # manifests do not store it
    return kaldi


@pytest.mark.parametrize("first, second", itertools.product(("csv", "jsonl", "json"), repeat=2))
def test_round_trip(plain, tmp_path, first, second):
    """Kaldi -> one format -> another -> Kaldi gives the same files, byte by byte."""
    one = convert(str(plain), tmp_path / "one" / TARGETS[first])
    two = convert(str(one), tmp_path / "two" / TARGETS[second])
    back = convert(str(two), tmp_path / "back")
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {path.name: path.read_bytes() for path in plain.iterdir()}


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_round_trip_of_the_manifest(plain, tmp_path, form):
    one = convert(str(plain), tmp_path / TARGETS[form])
    again = convert(str(convert(str(one), tmp_path / "back")), tmp_path / f"again{one.suffix}")
    assert again.read_text().replace("again_txt", "m_txt") == one.read_text()


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_large_corpora_are_written_from_disk(plain, tmp_path, monkeypatch, form):
    """The same bytes with every sample in a temporary file and headers read by processes; JSON is what the standard library writes."""
    path = convert([str(plain)], tmp_path / TARGETS[form])
    expected = path.read_bytes()
    monkeypatch.setattr(disk_sort, "ITEMS", 1)
    monkeypatch.setattr(pool, "FEW", 0)
    assert convert([str(plain)], tmp_path / TARGETS[form]).read_bytes() == expected
    if form != "csv":
        written = json.dumps(json.loads(expected), ensure_ascii=False, indent=1 if form == "json" else None)
        assert written == expected.decode().rstrip("\n")


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_ids_and_speakers_of_their_own_survive(tmp_path, make_audio, form):
    tables = {
        "wav.scp": {"ann_7": str(make_audio(tmp_path / "x.flac")), "bob_7": str(make_audio(tmp_path / "sub/x.flac"))},
        "text": {"ann_7": "中文 字", "bob_7": 'ÄB,C "d"'},
        "utt2spk": {"ann_7": "ann", "bob_7": "bob"},
    }
    KaldiDir(tables).write(tmp_path / "in")
    convert(str(convert(str(tmp_path / "in"), tmp_path / TARGETS[form])), tmp_path / "back")
    assert KaldiDir.read(tmp_path / "back") == KaldiDir(tables)


def test_csv_is_what_deepspeech2_reads(plain, tmp_path):
    path = convert(str(plain), tmp_path / "libri_train_manifest.csv")
    with open(path, newline="") as stream:
        rows = list(csv.reader(stream))
    assert [os.path.basename(wav) for wav, _ in rows] == ["a-1.wav", "a-2.wav", "b-1.wav", "b-2.wav"]
    assert all(os.path.isabs(file) and os.path.exists(file) for row in rows for file in row)
    assert Path(rows[0][1]).read_text() == "WORDS OF A-1\n" and Path(rows[0][1]).parent == tmp_path / "libri_train_manifest_txt"


def test_jsonl_of_deepspeech_pytorch(tmp_path, make_audio):
    """Objects with root_path and samples, one per line, as deepspeech.pytorch writes them; the csv has root/wav,root/txt."""
    lines = []
    for part in ("one", "two"):
        root = tmp_path / part
        make_audio(root / "wav" / f"{part}-1.wav")
        (root / "txt").mkdir()
        (root / "txt" / f"{part}-1.txt").write_text(part.upper())
        sample = {"wav_path": f"wav/{part}-1.wav", "transcript_path": f"txt/{part}-1.txt"}
        lines.append(json.dumps({"root_path": str(root), "samples": [sample]}))
    (tmp_path / "train.json").write_text("\n".join(lines) + "\n")
    convert(str(tmp_path / "train.json"), tmp_path / "train.csv")
    expected = "".join(f"{tmp_path}/{part}/wav/{part}-1.wav,{tmp_path}/{part}/txt/{part}-1.txt\n" for part in ("one", "two"))
    assert (tmp_path / "train.csv").read_text() == expected
    data = KaldiDir.read(convert(str(tmp_path / "train.json"), tmp_path / "data"))
    assert data.text == {"one-1": "ONE", "two-1": "TWO"} and data.utt2spk == {"one-1": "one", "two-1": "two"}


def jasper(tmp_path, make_audio, name, utts, speeds=(1,)):
    items = []
    for utt in utts:
        files = []
        for speed in speeds:
            wav = f"{name}-wav/{utt}{'' if speed == 1 else f'-{speed}'}.wav"
            make_audio(tmp_path / wav, seconds=0.5 / speed)
            numbers = {"duration": 0.5 / speed, "num_samples": int(8000 / speed)}
            files.append({"channels": 1, "sample_rate": 16000.0, "bitdepth": 16, "silent": False, "fname": wav, "speed": speed, **numbers})
        items.append({"transcript": f"words of {utt}", "files": files, "original_duration": 0.5, "original_num_samples": 8000})
    path = tmp_path / f"librispeech-{name}-wav.json"
    path.write_text(json.dumps(items, indent=2))
    return str(path)


def test_list_of_jasper_manifests(tmp_path, make_audio):
    sources = [jasper(tmp_path, make_audio, "dev-clean", ["1-2-0000", "1-2-0001"]), jasper(tmp_path, make_audio, "dev-other", ["3-4-0000"])]
    data = KaldiDir.read(convert(sources, tmp_path / "data"))
    assert data.text == {utt: f"words of {utt}" for utt in ("1-2-0000", "1-2-0001", "3-4-0000")}
    assert data.utt2spk["3-4-0000"] == "3" and data.wav["3-4-0000"] == str(tmp_path / "dev-other-wav/3-4-0000.wav")
    with pytest.raises(UserError, match="duplicate id 1-2-0000 of "):
        convert([sources[0], sources[0]], tmp_path / "data")


def test_jasper_speeds_are_kept(tmp_path, make_audio):
    source = jasper(tmp_path, make_audio, "train", ["1-2-0000", "1-2-0001"], speeds=(1, 0.9, 1.1))
    data = KaldiDir.read(convert(source, tmp_path / "data"))
    assert sorted(data.utt2spk) == sorted(f"{sp}1-2-000{i}" for sp in ("", "sp0.9-", "sp1.1-") for i in (0, 1))
    assert data.utt2spk["sp0.9-1-2-0001"] == "sp0.9-1" and data.wav["sp0.9-1-2-0001"].endswith("train-wav/1-2-0001-0.9.wav")
    back = json.loads(Path(convert(str(tmp_path / "data"), tmp_path / "back.json")).read_text())
    wanted = json.loads(Path(source).read_text())
    for item, original in zip(back, wanted, strict=True):
        assert (item["transcript"], item["original_duration"], item["original_num_samples"]) == (original["transcript"], 0.5, 8000)
        assert sorted((f["speed"], f["fname"], f["num_samples"]) for f in item["files"]) == sorted(
            (f["speed"], f["fname"], f["num_samples"]) for f in original["files"]
        )


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("m.csv", "a.wav,none.txt\n", "line 1: transcript .*none.txt cannot be read"),
        ("m.csv", "a.wav,b.txt,c\n", "line 1: 3 fields"),
        ("m.json", '[{"transcript": "x"}]', "not a json manifest .KeyError: 'files'"),
        ("m.json", '[{"transcript": "x",', "invalid JSON"),
        ("m.json", "[]", "has no samples"),
        ("m.jsonl", '{"samples": []}\n{"samples": [}\n', "line 2: invalid JSON"),
        ("m.jsonl", '{"root_path": "/"}', "line 1: objects with the keys root_path are not read"),
        ("m.jsonl", '["a"]', "not a json manifest"),
        ("m.txt", "neither\n", "unknown format"),
        ("m.json", '[{"transcript": "x", "files": [{"fname": "a b.wav"}]}]', "is empty or has a space"),
        ("m.json", '[{"transcript": "x", "files": [{"fname": "1/a.wav"}, {"fname": "2/a.wav"}]}]', "duplicate id a of .*1/a.wav and .*2/a.wav"),
    ],
)
def test_malformed(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        manifests.read([tmp_path / name])


def test_not_utf8_and_missing(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"a.wav,\xe9.txt\n")
    with pytest.raises(UserError, match="not UTF-8"):
        manifests.read([tmp_path / "m.csv"])
    with pytest.raises(UserError, match="is missing"):
        manifests.read([tmp_path / "none.csv"])


def test_what_manifests_cannot_express(kaldi, tmp_path):
    write_table(kaldi / "wav.scp", dict.fromkeys(("a-1", "a-2", "b-1", "b-2"), "cat x |"))
    with pytest.raises(UserError, match="a-1 is a command"):
        manifests.read([kaldi])
    write_table(kaldi / "wav.scp", dict.fromkeys(("a-1", "a-2", "b-1", "b-2"), "x"))
    (kaldi / "text").unlink()
    with pytest.raises(UserError, match="text is missing"):
        manifests.read([kaldi])


def test_segments_are_kept_or_written_as_files(kaldi, tmp_path):
    """Between Kaldi directories they stay; for the other formats their audio is written to files, or one is told how."""
    write_table(kaldi / "segments", {utt: f"{utt} 0.1 0.3" for utt in ("a-1", "a-2", "b-1", "b-2")})
    before = KaldiDir.read(kaldi)
    copied = KaldiDir.read(convert(str(kaldi), tmp_path / "copied"))
    assert copied.segments == before.segments and copied.wav == before.wav
    with pytest.raises(UserError, match="a-1 is a part of .*a-1.wav .*which csv cannot express: give --wav_dir"):
        convert(str(kaldi), tmp_path / "m.csv")
    assert manifest.main(["--from", str(kaldi), "--to", str(tmp_path / "m.csv"), "--wav_dir", str(tmp_path / "cut")]) == 0
    for sample, utterance in zip(manifests.read([tmp_path / "m.csv"]), before.utterances(), strict=True):
        assert (sample.utt, sample.text) == (utterance.id, utterance.text)
        np.testing.assert_array_equal(read_audio(sample.wav), utterance.audio())


@pytest.mark.parametrize("names, shared", [(("A", "B"), True), (("A", "B"), False), (("2", "1"), True)])
def test_channels_are_kept(tmp_path, make_audio, names, shared):
    """Both sides of one file, or files of two channels of which each has one name."""
    wav = {utt: make_audio(tmp_path / ("call.wav" if shared else f"{utt}.wav")) for utt in ("a", "b")}
    for path in wav.values():
        samples, rate = soundfile.read(path)
        soundfile.write(path, np.stack([samples, 0.1 * samples[::-1]], 1) if samples.ndim == 1 else samples, rate)
    tables = {"wav.scp": {utt: str(path) for utt, path in wav.items()}, "text": {"a": "ONE", "b": "TWO"}, "utt2spk": {"a": "a", "b": "b"}}
    before = KaldiDir({**tables, "reco2file_and_channel": {utt: f"call {name}" for utt, name in zip("ab", names, strict=True)}})
    before.write(tmp_path / "in")
    after = KaldiDir.read(convert(str(tmp_path / "in"), tmp_path / "out"))
    for ours, theirs in zip(after.utterances(), before.utterances(), strict=True):
        np.testing.assert_array_equal(ours.audio(), theirs.audio())


def test_places_in_archives(tmp_path):
    pcm = (3000 * np.random.default_rng(0).normal(size=(2, 8000))).astype(np.int16)
    kaldiio.save_ark(str(tmp_path / "data.ark"), {"a": (16000, pcm[0]), "b": (16000, pcm[1])}, scp=str(tmp_path / "wav.scp"))
    write_table(tmp_path / "utt2spk", {"a": "a", "b": "b"})
    write_table(tmp_path / "text", {"a": "ONE", "b": "TWO"})
    assert KaldiDir.read(convert(str(tmp_path), tmp_path / "copied")).wav == KaldiDir.read(tmp_path).wav
    with pytest.raises(UserError, match="place in an archive"):
        convert(str(tmp_path), tmp_path / "m.json")
    convert(str(tmp_path), tmp_path / "m.json", "--wav_dir", str(tmp_path / "wavs"))
    first, second = manifests.read([tmp_path / "m.json"])
    assert (first.text, second.text) == ("ONE", "TWO")
    assert np.array_equal(np.stack([read_audio(first.wav), read_audio(second.wav)]), pcm.astype(np.float32) / 32768)


def test_bad_entries_are_passed_over(plain, tmp_path, capsys, logged):
    convert(str(plain), tmp_path / "m.csv")
    lines = (tmp_path / "m.csv").read_text().splitlines()
    (tmp_path / "bad.csv").write_text("\n".join([lines[0], "a.wav,none.txt", "one,two,three", *lines[1:]]) + "\n")
    (tmp_path / "wav/b-2.wav").write_bytes(b"")
    capsys.readouterr()
    assert manifest.main(["--from", str(tmp_path / "bad.csv"), "--to", str(tmp_path / "m.json")]) == 1
    assert capsys.readouterr().out == f"{tmp_path}/m.json: 3 utterances (json)\n"
    assert [sample.utt for sample in manifests.read([tmp_path / "m.json"])] == ["a-1", "a-2", "b-1"]
    assert len(logged) == 4 and "line 2: transcript" in logged[0] and "line 3: 3 fields" in logged[1] and "b-2.wav is empty" in logged[2]
    assert logged[3] == "3 entries passed over"


@pytest.mark.parametrize("utt", ["../../up", "/etc/x", "a/b", "..", ".x", "-rf", "a%2Fb"])
def test_an_id_is_never_a_path(tmp_path, make_audio, utt):
    """Transcripts and cut audio are files of the folders that were named, whatever the ids are."""
    tables = {"wav.scp": {"rec": str(make_audio(tmp_path / "in/x.wav"))}, "text": {utt: "WORDS"}, "utt2spk": {utt: utt}}
    KaldiDir({**tables, "segments": {utt: "rec 0.1 0.2"}}).write(tmp_path / "in/data")
    convert(str(tmp_path / "in/data"), tmp_path / "out/m/m.csv", "--wav_dir", str(tmp_path / "out/m/wav"))
    made = [path.parent for path in tmp_path.rglob("*") if path.is_file() and tmp_path / "in" not in path.parents]
    assert sorted(made) == sorted([tmp_path / "out/m", tmp_path / "out/m/m_txt", tmp_path / "out/m/wav"])


def test_real_corpora(shared, tmp_path):
    """fsdd, whose ids are not its file names, through all formats and back."""
    source = shared / "speech/fsdd/data/test"
    names = convert(str(source), tmp_path / "0", "--root", str(shared / "speech"))
    for target in ("1.json", "2.csv", "3.jsonl", "4"):
        names = convert(str(names), tmp_path / target)
    assert KaldiDir.read(names) == KaldiDir.read(tmp_path / "0")
    assert KaldiDir.read(names).text == KaldiDir.read(source).text
