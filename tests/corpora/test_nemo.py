"""NeMo's manifests: whole files, parts of files, and entries that cannot be read."""

import json

import numpy as np
import pytest
import soundfile

from asrlib.bin import manifest, validate_data
from asrlib.corpora import manifests
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.utils.errors import UserError

NOISE = (3000 * np.random.default_rng(0).normal(size=32000)).astype(np.int16)


@pytest.fixture
def wav(tmp_path):
    """wav/u1.wav of 0.5 s and wav/u2.wav of 2 s."""
    (tmp_path / "wav").mkdir()
    soundfile.write(tmp_path / "wav/u1.wav", NOISE[:8000], 16000)
    soundfile.write(tmp_path / "wav/u2.wav", NOISE, 16000)
    return tmp_path / "wav"


ENTRIES = [
    {"audio_filepath": "wav/u1.wav", "duration": 0.5, "text": "hello world"},
    {"audio_filepath": "wav/u2.wav", "duration": 2.0, "text": "good\nday"},
    {"audio_filepath": "wav/u2.wav", "offset": 0.2, "duration": 0.3, "text": "day"},
    {"audio_filepath": "wav/u2.wav", "duration": 1.0, "text": "good"},
]
SHAPES = {
    "lines.json": lambda entries: "".join(json.dumps(entry) + "\n" for entry in entries),
    "lines.jsonl": lambda entries: "\ufeff" + "\r\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries),
    "pretty.json": lambda entries: "\n".join(json.dumps(entry, indent=4) for entry in entries),
    "list.json": lambda entries: json.dumps(entries, indent=1),
    "together.json": lambda entries: " ".join(map(json.dumps, entries)),
}


def write(path, entries, shape="lines.json"):
    path.write_text(SHAPES[shape](entries), encoding="utf-8")
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_the_file(tmp_path, wav, shape, capsys):
    assert manifest.main(["--from", str(write(tmp_path / shape, ENTRIES, shape)), "--to", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/data: 4 utterances (kaldi)\n"
    data = KaldiDir.read(tmp_path / "data")
    assert data.text == {"u1": "hello world", "u2": "good day", "u2-0000200-0000500": "day", "u2-0000000-0001000": "good"}
    audio = {utterance.id: utterance.audio() * 32768 for utterance in data.utterances()}
    expected = {"u1": NOISE[:8000], "u2": NOISE, "u2-0000200-0000500": NOISE[3200:8000], "u2-0000000-0001000": NOISE[:16000]}
    assert all(np.array_equal(audio[utt], samples) for utt, samples in expected.items())
    assert data.utt2spk == {utt: utt[:2] for utt in audio}
    assert validate_data.main([str(tmp_path / "data"), "--audio", "true"]) == 0


def test_whole_files_need_no_segments(tmp_path, wav):
    """Durations may be rounded."""
    entries = [{**ENTRIES[0], "duration": 0.49}, {**ENTRIES[1], "duration": 2.04}, {"audio_filepath": str(wav / "u1.wav"), "text": "x"}]
    manifest.main(["--from", str(write(tmp_path / "m.json", entries[:2])), "--to", str(tmp_path / "data")])
    assert KaldiDir.read(tmp_path / "data").segments is None
    (sample,) = manifests.read([write(tmp_path / "n.json", entries[2:])])
    assert sample.is_file() and sample.wav == str(wav / "u1.wav")


def test_paths_from_the_current_folder(tmp_path, wav, monkeypatch):
    (tmp_path / "lists").mkdir()
    path = write(tmp_path / "lists/m.json", ENTRIES[:1])
    monkeypatch.chdir(tmp_path)
    assert next(iter(manifests.read([path]))).wav == str(wav / "u1.wav")
    with pytest.raises(UserError, match="line 1: audio file .*/wav/u1.wav does not exist"):
        manifests.read([path], root=tmp_path / "lists")


def test_equal_names_get_their_folders(tmp_path, wav):
    entries = []
    for folder in ("a", "b b"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x y.wav", NOISE[:8000], 16000)
        entries.append({"audio_filepath": f"{folder}/x y.wav", "duration": 0.5, "text": folder, "speaker": "s 1"})
    samples = manifests.read([write(tmp_path / "m.json", entries)])
    assert [(sample.utt, sample.speaker, sample.text) for sample in samples] == [("s_1-a_x_y", "s_1", "a"), ("s_1-b_b_x_y", "s_1", "b b")]


def test_texts_in_files(tmp_path, wav):
    (wav / "u1.txt").write_text("from a file\n")
    (sample,) = manifests.read([write(tmp_path / "m.json", [{"audio_filepath": "wav/u1.wav", "text_filepath": "u1.txt"}])])
    assert sample.text == "from a file"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"audio_filepath": "wav/none.wav"}, "line 2: audio file .*wav/none.wav does not exist"),
        ({"audio_filepath": None}, "line 2: no audio_filepath"),
        ({"text": ""}, "line 2: no text"),
        ({"text": None}, "line 2: no text"),
        ({"offset": 0.4, "duration": 2}, "line 2: offset 0.4 and duration 2 are not inside the file of 0.50 s"),
        ({"offset": 0.6, "duration": None}, "line 2: offset 0.6"),
        ({"offset": -1}, "line 2: offset -1"),
        ({"duration": 0}, "line 2: offset 0 and duration 0"),
        ({"duration": float("nan")}, "line 2: offset 0 and duration nan"),
        ({"duration": "long"}, "line 2: offset 0.0 or duration 'long' is no number"),
        ({"text": None, "text_filepath": "none.txt"}, "line 2: the transcript .*none.txt cannot be read"),
    ],
)
def test_bad_entries_are_passed_over_by_name(tmp_path, wav, change, message, logged):
    path = write(tmp_path / "m.json", [ENTRIES[1], {**ENTRIES[0], **change}, ENTRIES[2]])
    with pytest.raises(UserError, match=message):
        manifests.read([path])
    assert manifest.main(["--from", str(path), "--to", str(tmp_path / "data")]) == 1
    assert list(KaldiDir.read(tmp_path / "data").text) == ["u2", "u2-0000200-0000500"]
    assert len(logged) == 2 and "passed over: " in logged[0] and logged[1] == "1 entries passed over"


def test_a_line_that_is_no_json_is_passed_over(tmp_path, wav, logged):
    path = tmp_path / "m.json"
    path.write_text(f"{json.dumps(ENTRIES[0])}\n{{'audio_filepath': 'wav/u2.wav'}}\n{json.dumps(ENTRIES[1])}\n")
    assert manifest.main(["--from", str(path), "--to", str(tmp_path / "data")]) == 1
    assert "line 2: invalid JSON" in logged[0] and list(KaldiDir.read(tmp_path / "data").text) == ["u1", "u2"]


@pytest.mark.parametrize("target", ["m.csv", "m.jsonl", "out.json"])
def test_to_other_manifests(tmp_path, wav, target):
    path = write(tmp_path / "nemo.json", ENTRIES)
    assert manifest.main(["--from", str(path), "--to", str(tmp_path / target)]) == 1, "the parts are passed over"
    assert [sample.utt for sample in manifests.read([tmp_path / target])] == ["u1", "u2"]
    assert manifest.main(["--from", str(path), "--to", str(tmp_path / target), "--wav_dir", str(tmp_path / "cut")]) == 0
    assert [sample.text for sample in manifests.read([tmp_path / target])] == ["hello world", "good day", "good", "day"]


def test_other_objects_are_named(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"recording": 1, "supervisions": []}\n')
    with pytest.raises(UserError, match="line 1: objects with the keys recording, supervisions are not read: .*audio_filepath .NeMo"):
        manifests.read([tmp_path / "m.jsonl"])
