"""LibriSpeech in the layout of MindSpore's DeepSpeech2: manifests of other machines, missing files, `manifest --files`."""

import csv
from argparse import Namespace

import numpy as np
import pytest
import soundfile

from asrlib.bin import manifest
from asrlib.corpora import librispeech
from asrlib.corpora.audio import read_audio
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.utils.errors import UserError

SETS = {"train": ["7-1-0000", "7-1-0001", "30-2-0000"], "val": ["8-1-0000"], "test_clean": ["9-1-0000"], "test_other": ["9-2-0000"]}


@pytest.fixture
def dataset(tmp_path, make_audio):
    """LibriSpeech_dataset with its four manifests, whose paths are of another machine."""
    corpus = tmp_path / "LibriSpeech_dataset"
    for name, utts in SETS.items():
        (corpus / name / "txt").mkdir(parents=True)
        for utt in utts:
            make_audio(corpus / name / "wav" / f"{utt}.wav")
            (corpus / name / "txt" / f"{utt}.txt").write_text(f"words of {utt}\n")
        rows = [f"/home/elsewhere/LibriSpeech_dataset/{name}/wav/{u}.wav,/home/elsewhere/LibriSpeech_dataset/{name}/txt/{u}.txt\n" for u in utts]
        (corpus / f"libri_{name}_manifest.csv").write_text("".join(rows))
    return corpus


def prepare(corpus, train=("train",), valid=("val",), test=("test-clean", "test_other"), fix=False):
    options = Namespace(train_sets=train, valid_sets=valid, test_sets=test, check_counts="auto", audio=True, fix=fix)
    return librispeech.prepare_data(corpus, options)


def test_sets_and_paths(dataset):
    prepared = prepare(dataset)
    assert {name: sorted(result.data.utt2spk) for name, result in prepared.items()} == {
        "train": sorted(SETS["train"]), "dev": SETS["val"], "test_clean": SETS["test_clean"], "test_other": SETS["test_other"],
    }  # fmt: skip
    data = prepared["train"].data
    assert data.wav["7-1-0001"] == str(dataset / "train/wav/7-1-0001.wav") and data.text["7-1-0001"] == "WORDS OF 7-1-0001"
    assert data.utt2spk["30-2-0000"] == "30"


@pytest.mark.parametrize("separator", ["\\", "/"])
def test_manifest_selects_the_utterances(dataset, separator, logged):
    row = separator.join(["D:", "data", "train", "{kind}", "7-1-0001.{kind}"])
    (dataset / "libri_train_manifest.csv").write_text(f"{row.format(kind='wav')},{row.format(kind='txt')}\r\n")
    assert list(prepare(dataset)["train"].data.utt2spk) == ["7-1-0001"]
    assert any("train/wav has 2 files which" in message and "30-2-0000.wav: they are not used" in message for message in logged)


def test_json_lines_beside_the_sets_and_no_manifest(dataset):
    """mindaudio keeps the manifests, as deepspeech.pytorch writes them, in the folders of the sets."""
    (dataset / "libri_train_manifest.csv").unlink()
    sample = '{"wav_path": "wav/7-1-0000.wav", "transcript_path": "txt/7-1-0000.txt"}'
    (dataset / "train/libri_train_manifest.json").write_text(f'{{"root_path": "/other", "samples": [{sample}]}}\n')
    assert list(prepare(dataset)["train"].data.utt2spk) == ["7-1-0000"]
    (dataset / "train/libri_train_manifest.json").unlink()
    assert sorted(prepare(dataset)["train"].data.utt2spk) == sorted(SETS["train"])


def test_a_path_in_a_manifest_is_not_followed(dataset, tmp_path, make_audio):
    """Only its file name counts: a manifest cannot make the recipe read other folders."""
    secret = make_audio(tmp_path / "elsewhere/5-1-0000.wav")
    secret.with_suffix(".txt").write_text("SECRET")
    (dataset / "libri_val_manifest.csv").write_text(f"{secret},{secret.with_suffix('.txt')}\n")
    assert {problem.what for table in librispeech.prepare(dataset, "val").values() for problem in table.problems} == {
        "audio file is missing", "audio without transcript",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda corpus: (corpus / "train/wav/7-1-0001.wav").unlink(), "audio file is missing"),
        (lambda corpus: (corpus / "train/txt/7-1-0001.txt").unlink(), "audio without transcript"),
        (lambda corpus: (corpus / "train/txt/7-1-0001.txt").write_text("\n"), "empty transcript"),
        (lambda corpus: (corpus / "train/txt/7-1-0001.txt").write_bytes(b"caf\xe9"), "transcript is not UTF-8"),
    ],
)
def test_faulty_files(dataset, spoil, reason):
    spoil(dataset)
    with pytest.raises(UserError, match="train is not a valid data directory"):
        prepare(dataset)
    result = prepare(dataset, fix=True)["train"]
    assert list(result.dropped) == ["7-1-0001"] and reason in result.dropped["7-1-0001"] and len(result.data) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("/a/wav/7-1-0000.wav\n", "unknown format"),
        ("/a/7-1-0000.wav,/a/7-1-0000.txt,3\n", "line 1: 3 fields"),
        ("/a/7-1-0000.wav,/a/7-1-0000.txt\n/b/7-1-0000.wav,/b/7-1-0000.txt\n", "7-1-0000 is listed twice"),
        ('[{"transcript": "x"}]', "is not a csv or jsonl manifest"),
    ],
)
def test_faulty_manifests(dataset, content, message):
    (dataset / "libri_train_manifest.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        prepare(dataset)


def test_two_manifests(dataset):
    (dataset / "train/libri_train_manifest.csv").write_text("")
    with pytest.raises(UserError, match="are both manifests of train: remove one"):
        prepare(dataset)


def test_written_layout(libri, tmp_path):
    """What `manifest --files` writes has the samples of the source, and is read back with the same ids, transcripts and speakers."""
    options = Namespace(train_sets=[], valid_sets=["dev-clean"], test_sets=[], check_counts="auto", audio=True, fix=False)
    source = librispeech.prepare_data(libri, options)["dev"].data
    source.write(tmp_path / "dev")
    corpus = tmp_path / "LibriSpeech_dataset"
    target = corpus / "libri_val_manifest.csv"
    manifest.main(["--from", str(tmp_path / "dev"), "--files", str(corpus / "val"), "--to", str(target), "--nj", "1"])
    with open(target, newline="") as stream:
        assert list(csv.reader(stream)) == [[str(corpus / f"val/wav/{u}.wav"), str(corpus / f"val/txt/{u}.txt")] for u in sorted(source.utt2spk)]
    info = soundfile.info(corpus / "val/wav/1-10-0000.wav")
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("WAV", "PCM_16", 16000, 1)
    for utt, wav in source.wav.items():
        np.testing.assert_array_equal(read_audio(corpus / f"val/wav/{utt}.wav"), read_audio(wav))
    back = prepare(corpus, train=(), test=())["dev"].data
    assert (back.text, back.utt2spk) == (source.text, source.utt2spk)


@pytest.mark.parametrize("utt", ["../a", "a/b", ".a"])
def test_an_id_is_no_path(tmp_path, make_audio, utt):
    KaldiDir({"wav.scp": {utt: str(make_audio(tmp_path / "x.wav"))}, "text": {utt: "WORDS"}, "utt2spk": {utt: utt}}).write(tmp_path / "in")
    with pytest.raises(UserError, match="the id becomes a file name"):
        manifest.main(["--from", str(tmp_path / "in"), "--files", str(tmp_path / "out/train"), "--to", str(tmp_path / "out/m.csv")])
    assert not (tmp_path / "out").exists()
