"""CMU AN4: its layout in every distribution's format, ESPnet's split, what is refused."""

import shutil
import tarfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrlib.corpora import an4
from asrlib.corpora.audio import read_audio
from asrlib.utils.errors import UserError

SHARED = Path(__file__).resolve().parents[3] / "shared/speech/an4"
WORDS = {"an1-fash-b": "YES", "an2-fash-b": "ENTER FOUR FIVE", "cen7-fbbh-b": "M A R Y"}


def options(data_dir, **changes):
    return Namespace(**{"data_dir": data_dir, "check_counts": "auto", "audio": True, "fix": False} | changes)


@pytest.fixture
def corpus(tmp_path):
    """corpus(kind): three utterances of two speakers in both sets."""

    def make(kind="sph"):
        rng, top = np.random.default_rng(0), tmp_path / "an4"
        (top / "etc").mkdir(parents=True)
        for name, folder in (("train", "an4_clstk"), ("test", "an4test_clstk")):
            ids, lines = [], []
            for utt, words in WORDS.items():
                path = top / "wav" / folder / utt.split("-")[1] / f"{utt}.{kind.partition(' ')[0]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                tone = 8000 * np.sin(np.arange(4000) / 20) + rng.normal(scale=100, size=4000)
                if kind.startswith("raw"):
                    tone.astype(">i2" if kind.endswith("big") else "<i2").tofile(path)
                else:
                    soundfile.write(path, tone.astype(np.int16), 16000, format="NIST" if kind == "sph" else None, subtype="PCM_16")
                ids.append(f"{folder}/{utt.split('-')[1]}/{utt}\n")
                lines.append(f"<s> {words.lower()} </s> ({utt})\n" if name == "train" else f"{words} ({utt})\n")
            (top / f"etc/an4_{name}.fileids").write_text("".join(ids))
            (top / f"etc/an4_{name}.transcription").write_text("".join(lines))
        return top

    return make


@pytest.mark.parametrize("kind", ["sph", "wav", "flac", "raw big", "raw little"])
def test_formats(corpus, tmp_path, kind):
    tables = an4.prepare(corpus(kind), "train", converted=tmp_path / "copies")
    assert tables["text"].rows == {f"{utt.split('-')[1]}-{utt}": words for utt, words in WORDS.items()}
    assert set(tables["utt2spk"].rows.values()) == {"fash", "fbbh"}
    for path in tables["wav.scp"].rows.values():
        audio = read_audio(path, 16000)
        assert len(audio) == 4000 and 0.2 < np.abs(audio).max() < 0.3


def test_truncated_raw_samples_are_refused(corpus, tmp_path):
    top = corpus("raw little")
    path = top / "wav/an4_clstk/fash/an2-fash-b.raw"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="an2-fash-b.raw: 7999 bytes are no samples of 16 bits"):
        an4.prepare(top, "train", converted=tmp_path / "copies")


def test_a_part_of_the_corpus(corpus, tmp_path, monkeypatch):
    """ESPnet's split: the first utterances by speaker are for validation."""
    monkeypatch.setattr(an4, "DEV", 2)
    sets = an4.prepare_data(corpus(), options(tmp_path / "data"))
    assert {name: sorted(part.data.text) for name, part in sets.items()} == {
        "train": ["fbbh-cen7-fbbh-b"],
        "dev": ["fash-an1-fash-b", "fash-an2-fash-b"],
        "test": ["fash-an1-fash-b", "fash-an2-fash-b", "fbbh-cen7-fbbh-b"],
    }
    with pytest.raises(UserError, match="has 3 utterances of 2 speakers with 8 words, AN4 has 948 utterances of 74 speakers with 5442 words"):
        an4.prepare(tmp_path / "an4", "train", check_counts="true")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("an4_train.fileids", "fash/an1-fash-b", "fash/an9-fash-b", "no SET/SPEAKER/UTTERANCE with a line in an4_train.transcription"),
        ("an4_train.fileids", "an4_clstk/fash/an1", "../an4_clstk/fash/an1", "a path outside the corpus"),
        ("an4_train.fileids", "fbbh/cen7-fbbh-b", "fash/cen7-fbbh-b", r"fash/cen7-fbbh-b.\* is missing"),
        ("an4_train.fileids", "an4_clstk/fash/an2-fash-b", "an4_clstk/fash/an1-fash-b", "an1-fash-b is listed twice"),
        ("an4_train.transcription", "(an2-fash-b)", "(an1-fash-b)", "utterance an1-fash-b has two lines"),
        ("an4_train.transcription", " (an2-fash-b)", "", "expected 'WORDS .UTTERANCE.'"),
    ],
)
def test_faults(corpus, file, old, new, message):
    top = corpus()
    path = top / "etc" / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        an4.prepare(top, "train")


def test_not_the_corpus(tmp_path):
    with pytest.raises(UserError, match="an4_train.transcription is missing: give the folder an4"):
        an4.prepare(tmp_path, "train")


def test_download(corpus, tmp_path):
    with tarfile.open(tmp_path / "an4_sphere.tar.gz", "w:gz") as tar:
        tar.add(corpus(), "an4")
    shutil.rmtree(tmp_path / "an4")
    out = tmp_path / "downloads"
    assert an4.download(out, tmp_path.as_uri(), remove_archive=True) == out / "an4"
    assert len(an4.prepare(out / "an4", "test")["text"].rows) == 3 and not (out / "an4_sphere.tar.gz").exists()
    assert an4.download(out, "file:///nowhere") == out / "an4"


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/speech/an4 is missing: the complete corpus is not compared")
def test_the_complete_corpus(tmp_path):
    """The numbers of ESPnet's train_nodev, train_dev and test."""
    sets = an4.prepare_data(SHARED, options(tmp_path, audio=False))
    counts = {name: (len(part.data.text), len(set(part.data.utt2spk.values()))) for name, part in sets.items()}
    assert counts == {"train": (848, 66), "dev": (100, 8), "test": (130, 10)}
    assert sum(len(text.split()) for text in sets["dev"].data.text.values()) == 591
