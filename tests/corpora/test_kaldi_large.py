"""Acceptance of large directories against that of small ones."""

import random
import string

import pytest

from asrlib.bin import prepare_data
from asrlib.corpora import kaldi_large
from asrlib.corpora.kaldi_large import accept_large
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.corpora.kaldi_validate import Rules, validate
from asrlib.utils.errors import UserError
from asrlib.utils.keyed_lines import KeyedLines

MORE = {"utt2dur": "9.5", "utt2uniq": "x"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(kaldi_large, "LARGE", 2)
    monkeypatch.setattr(kaldi_large, "BLOCK", 3)


@pytest.fixture
def folder(kaldi, tmp_path):
    """Relative paths, and tables that are replaced or kept."""
    (kaldi / "spk2gender").unlink()
    write_table(kaldi / "wav.scp", {utt: f"wav/{utt}.wav" for utt in ("a-1", "a-2", "b-1", "b-2")})
    for name, value in MORE.items():
        write_table(kaldi / name, dict.fromkeys(("a-1", "a-2", "b-1", "b-2"), value))
    return kaldi


def accepted(folder, **rules):
    return accept_large(folder, Rules(audio=True, **rules), lambda values: folder.parent)


def test_the_same_files(folder, tmp_path, monkeypatch):
    made = []
    for name, least in (("small", 5), ("large", 2)):
        monkeypatch.setattr(kaldi_large, "LARGE", least)
        prepare_data.main(["--corpus", "kaldi", "--train_dir", str(folder), "--valid_portion", "0.3", "--data_dir", str(tmp_path / name)])
        made.append({path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()})
    assert made[0] == made[1] and len(made[0]) == 2 * 6
    assert all(isinstance(rows, KeyedLines) for rows in accepted(folder).data.tables.values())
    assert {float(value) for value in accepted(folder).data.tables["utt2dur"].values()} == {0.5}
    without = accept_large(folder, Rules(), lambda values: None).data
    assert set(without.tables["utt2dur"].values()) == {"9.5"}, "without audio the durations stay"


def test_random_faults_are_left_to_the_other(folder):
    """A directory with one changed character is accepted by both or by none."""
    draw, faults = random.Random(3), 0
    for _ in range(150):
        path = folder / draw.choice(["utt2spk", "text", "wav.scp", "spk2utt", "utt2dur"])
        content = path.read_text()
        place = draw.randrange(len(content))
        changed = draw.choice(["", *" \n\t-x1", "\u3000", "\u200b", draw.choice(string.printable)])
        path.write_text(content[:place] + changed + content[place + 1 :])
        problems = validate(folder, Rules(audio=True, audio_root=folder.parent))
        assert (accepted(folder) is None) >= bool(problems)
        faults += bool(problems)
        path.write_text(content)
    assert 30 < faults < 150 and accepted(folder) is not None


@pytest.mark.parametrize("table, rows", [("segments", {"a-1": "a-1 0 0.2"}), ("spk2gender", {"a": "m", "b": "f"})])
def test_other_tables_are_left_to_the_other(folder, table, rows):
    write_table(folder / table, rows)
    assert accepted(folder) is None


def test_order_of_speakers_between_blocks(folder):
    """The block of a-c has no fault of its own."""
    names = {"a-1": "a-a", "a-2": "a-b-1", "b-1": "a-b-2", "b-2": "a-c"}
    for path in folder.iterdir():
        write_table(path, {names[utt]: value for utt, value in read_table(path).rows.items() if utt in names})
    write_table(folder / "utt2spk", {"a-a": "a", "a-b-1": "a-b", "a-b-2": "a-b", "a-c": "a"})
    (folder / "spk2utt").unlink()
    assert accepted(folder) is None and accepted(folder, spk_sort=False) is not None


def test_bad_audio_is_named_as_before(folder, tmp_path):
    (tmp_path / "wav" / "b-1.wav").write_bytes(b"")
    with pytest.raises(UserError, match="not a valid data directory .1 problems"):
        prepare_data.main(["--corpus", "kaldi", "--train_dir", str(folder), "--data_dir", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists() and read_table(folder / "text").problems == []
