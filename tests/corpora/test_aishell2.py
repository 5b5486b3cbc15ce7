"""AISHELL-2: its layout, missing and misplaced files, and the sets for pretraining."""

import random
import shutil

import pytest

from asrlib.bin import prepare_data
from asrlib.corpora import aishell2
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.corpora.kaldi_validate import Rules, validate
from asrlib.utils.errors import UserError

TEXTS = {"IC0001W0001": "厨房用品", "IC0001W0002": "打开 WIFI\u3000电灯", "IC0001W0003": "电蒸锅", "IC0002W0001": "電視", "IC0002W0002": "电子琴，"}


@pytest.fixture
def corpus(tmp_path, make_audio):
    """AISHELL-2 with five utterances of two speakers; the lists are not sorted."""
    data = tmp_path / "AISHELL-2/iOS/data"
    for utt in TEXTS:
        make_audio(data / "wav" / utt[1:6] / f"{utt}.wav")
    (data / "wav.scp").write_text("".join(f"{utt}\twav/{utt[1:6]}/{utt}.wav\n" for utt in reversed(TEXTS)))
    (data / "trans.txt").write_text("".join(f"{utt}\t{text}\n" for utt, text in TEXTS.items()), encoding="utf-8")
    return tmp_path / "AISHELL-2"


@pytest.fixture
def held(tmp_path):
    for name, texts in {"dev": {"d-1": "电视"}, "test": {"t-1": "厨房"}}.items():
        (tmp_path / "held" / name).mkdir(parents=True)
        write_table(tmp_path / "held" / name / "text", texts)
    return tmp_path / "held"


def prepare(corpus, out, *options):
    prepare_data.main(["--corpus", "aishell2", "--corpus_dir", str(corpus), "--data_dir", str(out), *map(str, options)])


def test_tables(corpus):
    tables = aishell2.prepare(corpus)
    assert not any(table.problems for table in tables.values())
    assert tables["utt2spk"].rows == {utt: utt[:6] for utt in TEXTS} and list(tables["utt2spk"].rows) == sorted(TEXTS)
    assert tables["text"].rows == TEXTS | {"IC0001W0002": "打开 WIFI 电灯"}, "as written, with plain spaces"
    assert tables["wav.scp"].rows["IC0002W0001"] == f"{corpus}/iOS/data/wav/C0002/IC0002W0001.wav"
    for folder in (corpus / "iOS", corpus / "iOS/data"):
        assert aishell2.prepare(folder)["wav.scp"].rows == tables["wav.scp"].rows


def test_absent_corpus_says_how_to_come_by_it(corpus, tmp_path):
    for folder in (tmp_path / "nowhere", corpus / "iOS/data/wav"):
        with pytest.raises(UserError, match="licensed.*aishelltech.com/aishell_2.*academic use.*--corpus_dir"):
            aishell2.find(folder)
    for name in ("trans.txt", "wav.scp"):
        shutil.copytree(corpus, tmp_path / name)
        (tmp_path / name / "iOS/data" / name).unlink()
        with pytest.raises(UserError, match=f"iOS/data/{name} is missing: give the folder AISHELL-2"):
            aishell2.find(tmp_path / name)


def test_what_is_missing_is_counted_and_named(corpus, logged):
    data = corpus / "iOS/data"
    (data / "wav/C0001/IC0001W0003.wav").unlink()
    shutil.rmtree(data / "wav/C0002")
    with open(data / "trans.txt", "a") as stream:
        stream.write("IC0009W0001\t多余\nIC0009W0002\t\n")
    with open(data / "wav.scp", "a") as stream:
        stream.write("IC0001W0008\twav/C0001/IC0001W0008.wav\nIC0001W0009\twav/C0001/IC0001W0009.wav\n")
    assert list(aishell2.prepare(corpus)["utt2spk"].rows) == ["IC0001W0001", "IC0001W0002"]
    assert logged[:3] == [
        "AISHELL-2: skipped 2 recordings without a transcript: IC0001W0008, IC0001W0009",
        "AISHELL-2: skipped 1 transcripts without a recording in wav.scp: IC0009W0001",
        "AISHELL-2: skipped 3 recordings in wav.scp whose file is missing: IC0001W0003, IC0002W0001, IC0002W0002",
    ]
    (data / "trans.txt").write_text("x\ty\n")
    with pytest.raises(UserError, match="no recording with a transcript"):
        aishell2.prepare(corpus)


def test_what_does_not_belong_is_refused_or_set_aside(corpus, tmp_path):
    data = corpus / "iOS/data"
    lines = (data / "wav.scp").read_text().replace("IC0002W0001\twav/C0002/IC0002W0001", "IC0002W0001\twav/C0002/IC0002W0002")
    (data / "wav.scp").write_text(lines + "IC0001W0001\twav/C0001/other.wav\n")
    (data / "trans.txt").write_bytes((data / "trans.txt").read_bytes().replace("电蒸锅".encode(), "电蒸锅".encode("gbk")))
    tables = aishell2.prepare(corpus)
    found = {problem.drop: str(problem) for table in tables.values() for problem in table.problems}
    assert "wav.scp, line 2: the path does not match the utterance id" in found["IC0002W0001"]
    assert "wav.scp, line 6: duplicate id" in found["IC0001W0001"] and "trans.txt, line 3: not UTF-8" in found["IC0001W0003"]
    options = ("--filter_leaks", "false", "--concat", 1, "--valid_portion", 0.5)
    with pytest.raises(UserError, match="not a valid data directory"):
        prepare(corpus, tmp_path / "data", *options)
    prepare(corpus, tmp_path / "data", *options, "--fix", "true")
    assert sorted(read_table(tmp_path / "data/train/bad_utts.txt").rows) == ["IC0001W0001", "IC0001W0003", "IC0002W0001"]
    assert {utt for name in ("train", "dev") for utt in KaldiDir.read(tmp_path / "data" / name).utt2spk} == {"IC0001W0002", "IC0002W0002"}


def test_counts(corpus, monkeypatch, logged):
    with pytest.raises(UserError, match="has 5 utterances, AISHELL-2 has 1009223"):
        aishell2.prepare(corpus, "true")
    monkeypatch.setattr(aishell2, "SPEAKERS", 2)
    aishell2.prepare(corpus)
    assert logged[-1].endswith("has 5 utterances of 2 speakers, AISHELL-2 has 1009223 of 2")
    monkeypatch.setattr(aishell2, "UTTERANCES", 5)
    assert len(aishell2.prepare(corpus, "true")["text"].rows) == 5


def test_sets_for_pretraining(corpus, held, tmp_path, logged):
    out = tmp_path / "data"
    prepare(corpus, out, "--aishell1_dir", held, "--concat", 2, "--valid_portion", 0.3, "--seed", 1)
    train, dev = (KaldiDir.read(out / name) for name in ("train", "dev"))
    assert train.parts | dev.parts == {"IC0001W0001_2": "IC0001W0001 IC0001W0002", "IC0001W0003_1": "IC0001W0003", "IC0002W0002_1": "IC0002W0002"}
    assert not any(validate(out / name, Rules(audio=True)) for name in ("train", "dev"))
    drawn = random.Random(1).sample(sorted(train.parts | dev.parts), 1)
    assert list(dev.utt2spk) == drawn and not train.utt2spk.keys() & dev.utt2spk.keys(), "concatenated first, then drawn"
    assert (out / "leaks.tsv").read_text(encoding="utf-8").splitlines()[1:] == [f"IC0002W0001\t電視\t{held}/dev\td-1"]
    rows = [line.split("\t") for line in (out / "hours.tsv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["set", "corpus", "without leaks", "concatenated", "train", "dev"]
    assert [row[1] for row in rows] == ["utterances", "5", "4", "3", "2", "1"]
    assert all(len(row) == 3 for row in rows) and "without leaks: 4 utterances, 0.00 hours" in logged
    seconds = {utt: float(value) for data in (train, dev) for utt, value in data.tables["utt2dur"].items()}
    assert seconds == {"IC0001W0001_2": 1.0, "IC0001W0003_1": 0.5, "IC0002W0002_1": 0.5}


def test_seed_and_headers_alone(corpus, held, tmp_path):
    dev = set()
    for seed in range(8):
        prepare(corpus, tmp_path / "data", "--aishell1_dir", held, "--concat", 1, "--valid_portion", 0.2, "--seed", seed, "--audio", "false")
        data = KaldiDir.read(tmp_path / "data/dev")
        assert len(data) == 1 and data.parts is None and list(data.tables["utt2dur"].values()) == ["0.500000"]
        dev |= data.utt2spk.keys()
    assert len(dev) > 1


def test_the_filter_is_asked_for_or_refused(corpus, tmp_path):
    with pytest.raises(UserError, match="--aishell1_dir is needed.*--filter_leaks false"):
        prepare(corpus, tmp_path / "data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/leaks.tsv").write_text("of a former run\n")
    prepare(corpus, tmp_path / "data", "--filter_leaks", "false", "--valid_portion", 0.5)
    assert not (tmp_path / "data/leaks.tsv").exists()
    assert "without leaks" not in (tmp_path / "data/hours.tsv").read_text()
