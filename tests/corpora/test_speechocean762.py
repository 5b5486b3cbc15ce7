"""speechocean762: its layout, ids that begin with the speaker, counts, what is refused, download."""

import re
import tarfile
from argparse import Namespace
from pathlib import Path

import pytest

from asrlib.corpora import speechocean762
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_validate import validate
from asrlib.corpora.prepare import write
from asrlib.utils.errors import UserError

SHARED = Path(__file__).resolve().parents[3] / "shared/speech/speechocean762"
ROWS = {"000010035": ("0001", "Mark is going"), "000010011": ("0001", "We call it bear"), "011560002": ("1156", "NO")}


def options(data_dir, **changes):
    return Namespace(**{"data_dir": data_dir, "check_counts": "auto", "audio": True, "fix": False} | changes)


@pytest.fixture
def corpus(tmp_path, make_audio):
    """Three utterances of two speakers in both sets, with tabs as in the archive."""
    top = tmp_path / "speechocean762"
    for name in ("train", "test"):
        (top / name).mkdir(parents=True)
        lines = {"wav.scp": [], "text": [], "utt2spk": []}
        for utt, (speaker, text) in sorted(ROWS.items()):
            make_audio(top / f"WAVE/SPEAKER{speaker}/{utt}.WAV", 0.5, 16000)
            for file, value in (("wav.scp", f"WAVE/SPEAKER{speaker}/{utt}.WAV"), ("text", text), ("utt2spk", speaker)):
                lines[file].append(f"{utt}\t{value}\n")
        for file, rows in lines.items():
            (top / name / file).write_text("".join(rows))
    return top


def test_sets(corpus, tmp_path):
    """Ids begin with the speaker, as Kaldi wants, paths are absolute, transcripts upper case."""
    sets = speechocean762.prepare_data(corpus, options(tmp_path / "data"))
    write(sets, tmp_path / "data")
    assert list(sets) == ["train", "test"] and validate(tmp_path / "data/train") == []
    train = KaldiDir.read(tmp_path / "data/train")
    assert train.text == {
        "SPEAKER0001-000010011": "WE CALL IT BEAR",
        "SPEAKER0001-000010035": "MARK IS GOING",
        "SPEAKER1156-011560002": "NO",
    }
    assert train.utt2spk["SPEAKER1156-011560002"] == "SPEAKER1156"
    assert train.wav["SPEAKER1156-011560002"] == f"{corpus}/WAVE/SPEAKER1156/011560002.WAV"


def test_a_corpus_with_one_set(corpus, tmp_path):
    (corpus / "test").rename(corpus / "eval")
    assert list(speechocean762.prepare_data(corpus, options(tmp_path))) == ["train"]
    with pytest.raises(UserError, match="has neither train nor test: give the folder speechocean762"):
        speechocean762.prepare_data(corpus / "WAVE", options(tmp_path))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("text", "000010035", "000010036", "000010036.*add its speaker"),
        ("wav.scp", "SPEAKER1156", "SPEAKER1157", "is not a valid data directory"),
        ("utt2spk", "000010011\t0001\n", "000010011\n", "is not a valid data directory"),
        ("text", None, None, "text is missing: give the folder speechocean762"),
    ],
)
def test_faults(corpus, tmp_path, caplog, file, old, new, message):
    path = corpus / "train" / file
    if old is None:
        path.unlink()
    else:
        path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError) as error:
        speechocean762.prepare_data(corpus, options(tmp_path))
    assert re.search(message, f"{caplog.text}{error.value}")


def test_counts(corpus, monkeypatch):
    with pytest.raises(UserError, match="has 3 utterances of 2 speakers, the set has 2500 of 125: unpack the archive again"):
        speechocean762.prepare(corpus, "train", "true")
    monkeypatch.setattr(speechocean762, "SPEAKERS", 2)
    with pytest.raises(UserError, match="has 3 utterances of 2 speakers"):
        speechocean762.prepare(corpus, "train")
    assert len(speechocean762.prepare(corpus, "train", "false")["text"].rows) == 3


def test_download(corpus, tmp_path):
    with tarfile.open(tmp_path / "speechocean762.tar.gz", "w:gz") as tar:
        tar.add(corpus, "speechocean762")
    out = tmp_path / "downloads"
    speechocean762.download_data(out, Namespace(mirror=tmp_path.as_uri(), remove_archive=True))
    assert len(speechocean762.prepare(out / "speechocean762", "test")["text"].rows) == 3 and not (out / "speechocean762.tar.gz").exists()
    speechocean762.download_data(out, Namespace(mirror="file:///nowhere", remove_archive=False))


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/speech/speechocean762 is missing: its utterances are not counted")
def test_half_of_the_corpus(tmp_path):
    sets = speechocean762.prepare_data(SHARED, options(tmp_path, audio=False))
    assert {name: (len(part.data), len(set(part.data.utt2spk.values()))) for name, part in sets.items()} == {"train": (1260, 63)}
