"""Shards of cached features: they give the batches of the archives, are written once and in parallel, and damage is reported."""

import os
import shutil

import numpy as np
import pytest

from asrlib.bin import make_mindrecord
from asrlib.corpora.kaldi_table import read_table
from asrlib.features.ark import read_matrix, write_ark
from asrlib.ms.data import mindrecord
from asrlib.ms.data.batches import BatchLoader, make_buckets
from asrlib.ms.data.dataset import Dataset
from asrlib.ms.data.mindrecord import Shards, write_shards
from asrlib.ms.training.parallel import Ranks
from asrlib.utils.errors import UserError
from tests.ms.conftest import TRAIN

from .test_batches import equal

AUGMENTED = ("augment.spec_augment=true", "augment.speed_volume_perturb=true", "augment.speed_volume_prob=0.5")


def make(dump, shards=3, nj=1):
    return write_shards(dump, shards, nj)


def loader(folder, tokenizer, config, **options):
    data = Dataset(folder, tokenizer, config, train=True)
    return BatchLoader(data, make_buckets(data, config.batch.buckets, config.batch.batch_size, 0), 1, shuffle=True, **options)


def files(dump):
    return {path.name: path.stat().st_mtime_ns for path in (dump / "mindrecord").iterdir()}


@pytest.fixture
def sharded(own_dump):
    folder = own_dump(TRAIN)
    make(folder)
    return folder


@pytest.mark.parametrize("overrides", [(), ("augment.spec_augment=true",), AUGMENTED], ids=["plain", "masks", "speed"])
def test_the_batches_are_those_of_the_archives(dump, sharded, tokenizer, tiny, overrides):
    config = tiny("batch.batch_size=3", *overrides)
    archives, shards = loader(dump / "train", tokenizer, config), loader(sharded, tokenizer, config)
    assert archives.dataset.shards is None and len(shards.dataset.shards.paths) == 3
    for epoch in (0, 3):
        whole = list(archives.epoch(epoch))
        for start in (0, 1, len(whole)):  # also resumed in the middle
            rest = list(shards.epoch(epoch, start))
            assert len(rest) == len(whole) - start and all(map(equal, rest, whole[start:]))


def test_what_is_changed_in_speed_comes_from_the_waveform(sharded, tokenizer, tiny):
    """All other features come from the shards, without the archives."""
    (sharded / "feats.1.ark").rename(sharded / "away")
    data = Dataset(sharded, tokenizer, tiny(*AUGMENTED), train=True)
    assert data.shards is None, "the archives have changed"
    (sharded / "away").rename(sharded / "feats.1.ark")
    data = Dataset(sharded, tokenizer, tiny(*AUGMENTED), train=True)
    (sharded / "feats.1.ark").unlink()
    found = list(data.cached(range(len(TRAIN)), 2))
    changed = [data._speed(index, 2) != 1.0 for index in range(len(TRAIN))]
    assert [feats is None for feats in found] == changed and any(changed) and not all(changed)
    for index, cached in enumerate(found):
        assert len(data.feats(index, 2, cached)) == data.planned_frames(2)[index]


def test_each_process_reads_its_own_part(sharded, tokenizer, tiny, monkeypatch):
    config, read = tiny("batch.batch_size=3", "batch.buckets=1"), []
    batches = loader(sharded, tokenizer, config)
    original = Shards.read
    monkeypatch.setattr(Shards, "read", lambda self, utts: read.append(list(utts)) or original(self, utts))
    count = len(batches.plan(1))
    assert count % 2 == 0
    whole = list(batches.epoch(1))
    for rank in range(2):
        own = list(batches.epoch(1, numbers=[number for number, _ in Ranks(rank, 2).own_batches(range(count))]))
        assert all(map(equal, own, whole[rank::2])) and len(own) == count // 2
    everything, first, second = read
    assert [first, second] == [[utt for batch in whole[rank::2] for utt in batch.utts] for rank in range(2)]
    assert len(first) + len(second) == len(everything)


def test_shards_of_utterances_of_very_different_lengths(own_dump, monkeypatch):
    """Pages of different sizes could not be read together."""
    monkeypatch.setattr(mindrecord, "SMALLEST_PAGE", 1 << 15)
    folder = own_dump(["A", "B", "ABC" * 6, "C"])
    make(folder, shards=4)
    scp = read_table(folder / "feats.scp").rows
    found = list(Shards.find(folder, 21).read(list(scp)))
    assert len(found) == 4 and all(np.array_equal(feats, read_matrix(scp[utt], utt)) for utt, feats in zip(scp, found, strict=True))


def test_more_rows_than_there_are(sharded):
    """A plan that fills up its last batches repeats some utterances."""
    shards, utts = Shards.find(sharded, 21), [f"train-{i % 10}" for i in range(34)]
    found = list(shards.read(utts))
    assert len(found) == 34
    for i in range(10, 34):
        np.testing.assert_array_equal(found[i], found[i - 10])


def test_abandoned_reading_ends(sharded):
    before = os.listdir("/proc/self/task")
    rows = Shards.find(sharded, 21).read([f"train-{i}" for i in range(10)])
    next(rows)
    rows.close()
    assert len(os.listdir("/proc/self/task")) <= len(before) + 1


def test_a_second_call_does_nothing(sharded, capsys):
    before = files(sharded)
    assert sorted(before) == sorted(["shards.json", *(f"shard{i}.mindrecord{end}" for i in (1, 2, 3) for end in ("", ".db"))])
    assert not make(sharded) and files(sharded) == before
    make_mindrecord.main(["--dump_dir", str(sharded), "--num_shards", "3", "--nj", "1"])
    assert files(sharded) == before
    assert make(sharded, 2) and len(files(sharded)) == 5, "another number"


def test_other_features_are_made_again(sharded, tokenizer, tiny, logged):
    feats = {utt: read_matrix(location, utt) + 1 for utt, location in read_table(sharded / "feats.scp").rows.items()}
    write_ark(sharded / "feats.1.ark", feats.items())
    data = Dataset(sharded, tokenizer, tiny(), train=True)
    assert data.shards is None and any("older than the archives, which are read instead" in message for message in logged)
    assert make(sharded)
    data = Dataset(sharded, tokenizer, tiny(), train=True)
    for feats_of, item in zip(data.cached(range(10), 0), data.items, strict=True):
        np.testing.assert_array_equal(feats_of, feats[item.utt])


def test_written_in_parallel_into_a_folder_with_odd_letters(own_dump, tmp_path, tokenizer, tiny):
    shutil.copytree(own_dump(TRAIN), tmp_path / "run [0:3] ü")
    assert make(tmp_path / "run [0:3] ü", 4, nj=2)
    shards = Shards.find(tmp_path / "run [0:3] ü", 21)
    assert [shard["utterances"] for shard in shards.shards] == [2, 3, 2, 3]
    assert len(list(shards.read(["train-9", "train-0"]))) == 2


def flip(path):
    """One bit of one value of train-4."""
    location = read_table(path.parents[1] / "feats.scp").rows["train-4"]
    data = bytearray(path.read_bytes())
    data[data.index(read_matrix(location, "train-4").tobytes()) + 1000] ^= 1
    path.write_bytes(data)


def garbage(path):
    path.write_bytes(bytes(path.stat().st_size))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (flip, "shard2.mindrecord", r"/shard2\.mindrecord: damaged at utterance train-4: run stage 2 again with --force true"),
        (garbage, "shard2.mindrecord", r"/shard2\.mindrecord: cannot be read \(.*\): run stage 2 again with --force true"),
        (garbage, "shard3.mindrecord.db", r"/shard3\.mindrecord: cannot be read"),
        (cut, "shard2.mindrecord", r"/shard2\.mindrecord: shard missing or truncated: run stage 2 again"),
        (cut, "shard1.mindrecord.db", r"/shard1\.mindrecord\.db: shard missing or truncated"),
        (os.unlink, "shard3.mindrecord", r"/shard3\.mindrecord: shard missing or truncated"),
    ],
    ids=["flip", "garbage", "index", "cut", "cut index", "missing"],
)
def test_damaged_shard_is_named(sharded, tokenizer, tiny, damage, name, message):
    damage(sharded / "mindrecord" / name)
    with pytest.raises(UserError, match=message):
        list(loader(sharded, tokenizer, tiny()).epoch(0))
    if damage in (cut, os.unlink):
        assert make(sharded), "made again"
        assert list(loader(sharded, tokenizer, tiny()).epoch(0))


def test_damaged_list_of_shards(sharded):
    (sharded / "mindrecord" / "shards.json").write_text("{")
    with pytest.raises(UserError, match=r"shards\.json: damaged: delete .*mindrecord and run stage 2 again"):
        Shards.find(sharded, 21)


def test_features_of_another_kind(sharded, tokenizer, tiny):
    with pytest.raises(UserError, match="features of 21 bins where the configuration has 161: run stage 2 again with it"):
        Dataset(sharded, tokenizer, tiny("features.sample_rate=16000"), train=True)


def test_killed_run_leaves_nothing_that_is_read(own_dump, monkeypatch):
    """It leaves neither shards without their list nor an incomplete folder; the next run removes the leftovers."""
    folder = own_dump(TRAIN)

    def killed(*args, **kwargs):
        os._exit(9)

    monkeypatch.setattr(mindrecord, "_content", killed)
    child = os.fork()
    if not child:
        make(folder)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    monkeypatch.undo()
    assert list(folder.glob(".mindrecord.*/shard1.mindrecord")) and Shards.find(folder, 21) is None
    assert make(folder) and not list(folder.glob(".mindrecord.*"))


def test_a_shard_that_differs_from_the_archives_is_no_shard(own_dump, monkeypatch):
    folder = own_dump(["A", "B"])
    monkeypatch.setattr(mindrecord, "_content", lambda path: "another")
    with pytest.raises(UserError, match="shard1.mindrecord: differs from what was written"):
        make(folder)
    assert not list(folder.glob("*mindrecord*"))


def test_disk_and_pages_too_small(own_dump, monkeypatch):
    folder = own_dump(["A", "B"])
    monkeypatch.setattr(mindrecord, "SMALLEST_PAGE", 1 << 15)
    monkeypatch.setattr(mindrecord, "LARGEST_PAGE", 1 << 11)
    with pytest.raises(UserError, match="utterance train-.: 0 MB of features exceed a MindRecord page: split it into segments, or set --num_shards"):
        make(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(UserError, match="0.0 GB free, the shards need 0.0 GB: free some space, or set --num_shards 0"):
        make(folder)


@pytest.mark.parametrize("name", ["feats.scp", "utt2num_frames"])
def test_no_features(own_dump, name):
    folder = own_dump(["A"])
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name}.* missing: run stage 2"):
        make(folder)
