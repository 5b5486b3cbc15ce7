"""Batches: every utterance is in its bucket, shapes are few, and the order depends only on epoch and position."""

import threading

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.corpora.kaldi_table import read_table
from asrlib.features.extract import extract
from asrlib.ms.data.batches import BatchLoader, Bucket, bucket_edges, make_buckets
from asrlib.ms.data.dataset import Dataset
from asrlib.utils.errors import UserError
from tests.ms.conftest import RATE, TRAIN

AUGMENTED = ("augment.spec_augment=true", "augment.speed_volume_perturb=true")


def loader(folder, tokenizer, config, shuffle=True, seed=1, train=True, **options):
    data = Dataset(folder, tokenizer, config, train)
    batch = config.batch
    buckets = make_buckets(data, batch.buckets, batch.batch_size, batch.batch_seconds)
    return BatchLoader(data, buckets, seed, shuffle, short_first=batch.sorta_grad, **options)


def equal(one, other):
    return one.utts == other.utts and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("feats", "feat_lengths", "labels", "label_lengths")
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=200), st.integers(1, 12))
def test_bucket_edges(frames, count):
    edges = bucket_edges(np.array(frames), count)
    assert edges == sorted(set(edges)) and len(edges) <= count + 1
    assert edges[-1] == -(-max(frames) // 16) * 16
    assert all(edge % 16 == 0 for edge in edges)


def test_bucket_edges_share_the_audio():
    frames = np.random.default_rng(0).integers(100, 1600, 20_000)
    edges = bucket_edges(frames, 5)
    shares = [frames[(frames > low) & (frames <= high)].sum() / frames.sum() for low, high in zip([0, *edges], edges, strict=False)]
    np.testing.assert_allclose(shares, 0.2, atol=0.02)


def test_batch_seconds(dump, tokenizer, tiny):
    data = Dataset(dump / "train", tokenizer, tiny(), train=True)
    buckets = make_buckets(data, 3, 100, 2.0)
    assert [bucket.batch_size for bucket in buckets] == [max(1, int(2.0 / (bucket.frames * 0.01))) for bucket in buckets]
    assert len({bucket.batch_size for bucket in buckets}) > 1
    assert {bucket.batch_size for bucket in make_buckets(data, 3, 2, 1000.0)} == {2}
    assert {bucket.batch_size for bucket in make_buckets(data, 3, 2, 0.01)} == {1}


@pytest.mark.parametrize("overrides", [(), AUGMENTED], ids=["plain", "augmented"])
def test_batches_hold_the_features(dump, tokenizer, tiny, overrides):
    batches = loader(dump / "train", tokenizer, tiny(*overrides))
    data, numbers = batches.dataset, {item.utt: i for i, item in enumerate(batches.dataset.items)}
    seen = set()
    for batch in batches.epoch(3):
        assert batch.feats.dtype == np.float32 and batch.feats.shape[::2] == (4, 21)
        assert {a.dtype for a in (batch.feat_lengths, batch.labels, batch.label_lengths)} == {np.dtype(np.int32)}
        for row, utt in enumerate(batch.utts):
            expected, labels = data.feats(numbers[utt], 3), data.items[numbers[utt]].labels
            assert batch.feat_lengths[row] == len(expected) and batch.label_lengths[row] == len(labels)
            np.testing.assert_array_equal(batch.feats[row, : len(expected)], expected)
            np.testing.assert_array_equal(batch.labels[row, : len(labels)], labels)
            assert not batch.feats[row, len(expected) :].any() and not batch.labels[row, len(labels) :].any()
        assert batch.frames == sum(len(data.feats(numbers[utt], 3)) for utt in batch.utts)
        seen.update(batch.utts)
    assert len(seen) == len(TRAIN)


def test_training_batches_are_full_and_of_few_shapes(dump, tokenizer, tiny):
    batches = loader(dump / "train", tokenizer, tiny(*AUGMENTED))
    shapes = set()
    for epoch in range(20):
        for batch in batches.epoch(epoch):
            assert len(batch.utts) == 4
            shapes.add((batch.feats.shape, batch.labels.shape))
    assert len(shapes) <= len(batches.buckets) <= 4


def test_bucket_with_fewer_utterances_than_a_batch(dump, tokenizer, tiny):
    batches = loader(dump / "valid", tokenizer, tiny("batch.batch_size=8", "batch.buckets=1"))
    (batch,) = batches.epoch(0)
    assert len(batch.utts) == 8 and set(batch.utts) == {"valid-0", "valid-1", "valid-2"}


def test_validation_has_every_utterance_once(dump, tokenizer, tiny):
    batches = list(loader(dump / "train", tokenizer, tiny(), shuffle=False, train=False).epoch(0))
    assert sorted(utt for batch in batches for utt in batch.utts) == sorted(f"train-{i}" for i in range(len(TRAIN)))
    for batch in batches:
        filling = slice(len(batch.utts), None)
        assert not batch.feats[filling].any() and set(batch.feat_lengths[filling]) <= {1} and not batch.label_lengths[filling].any()


def test_validation_batches_are_no_larger_than_their_buckets(dump, tokenizer, tiny):
    batches = loader(dump / "valid", tokenizer, tiny("batch.batch_size=64", "batch.buckets=1"), shuffle=False, train=False)
    (batch,) = batches.epoch(0)
    assert len(batch.utts) == len(batch.feats) == batches.buckets[0].batch_size == 3


def test_order(dump, tokenizer, tiny):
    """Epochs and seeds differ in the order and in the batches; the same seed gives the same batches."""

    def plans(seed, epochs, *overrides):
        batches = loader(dump / "train", tokenizer, tiny(*overrides), seed=seed)
        return [[tuple(indices) for _, indices in batches.plan(epoch)] for epoch in epochs]

    first, second, third = plans(1, (1, 2, 3))
    assert first != second != third != first
    assert plans(1, (3, 2)) == [third, second]
    assert plans(2, (1,)) != [first]


def test_first_epoch_goes_from_short_to_long(dump, tokenizer, tiny):
    def lengths(epoch, *overrides):
        return [bucket.frames for bucket, _ in loader(dump / "train", tokenizer, tiny("batch.batch_size=1", *overrides)).plan(epoch)]

    assert lengths(0) == sorted(lengths(0))
    assert lengths(1) != sorted(lengths(1))
    assert lengths(0, "batch.sorta_grad=false") != sorted(lengths(0))


@pytest.mark.parametrize("overrides", [(), AUGMENTED], ids=["plain", "augmented"])
@pytest.mark.parametrize("options", [{"prefetch": 1, "threads": 1}, {"prefetch": 3, "threads": 4}])
def test_start_in_the_middle(dump, tokenizer, tiny, overrides, options):
    """From any position, with any number of threads: the batches of the whole epoch."""
    config = tiny("batch.batch_size=2", *overrides)
    whole = list(loader(dump / "train", tokenizer, config).epoch(1))
    for start in (0, 1, len(whole) - 1, len(whole)):
        rest = list(loader(dump / "train", tokenizer, config, **options).epoch(1, start))
        assert len(rest) == len(whole) - start and all(map(equal, rest, whole[start:]))


def test_abandoned_epoch_leaves_no_threads(dump, tokenizer, tiny):
    before = threading.active_count()
    epoch = loader(dump / "train", tokenizer, tiny("batch.batch_size=1")).epoch(0)
    next(epoch)
    assert threading.active_count() > before
    epoch.close()
    assert threading.active_count() == before


def test_lost_archive_stops_training_with_a_name(own_dump, tokenizer, tiny):
    folder = own_dump(["A", "B"])
    (folder / "feats.1.ark").unlink()
    with pytest.raises(UserError, match="utterance train-0: cannot read features"):
        list(loader(folder, tokenizer, tiny("batch.batch_size=1"), shuffle=False).epoch(0))


def test_features_of_another_kind(dump, tokenizer, tiny):
    with pytest.raises(UserError, match="utterance train-.*: features of 21 bins where the configuration has 161: run stage 2 again with it"):
        next(loader(dump / "train", tokenizer, tiny("features.sample_rate=16000")).epoch(0))


def test_perturbed_lengths_to_the_sample(tmp_path, tokenizer, tiny):
    """Recordings of any number of samples, at any speed, have the planned number of frames, and a bucket."""
    data, rng = tmp_path / "data", np.random.default_rng(0)
    data.mkdir()
    utts = [f"u-{i:02}" for i in range(40)]
    for utt in utts:
        soundfile.write(tmp_path / f"{utt}.wav", rng.uniform(-0.3, 0.3, int(rng.integers(900, 1300))), RATE)
    for name, value in (("wav.scp", lambda u: tmp_path / f"{u}.wav"), ("text", lambda u: "AB"), ("utt2spk", lambda u: "u")):
        (data / name).write_text("".join(f"{utt} {value(utt)}\n" for utt in utts))
    config = tiny("augment.speed_volume_perturb=true", "batch.buckets=6", "batch.batch_size=1")
    extract(data, tmp_path / "dump", config.features)
    batches = loader(tmp_path / "dump", tokenizer, config)
    assert [item.samples for item in batches.dataset.items] == [soundfile.info(str(tmp_path / f"{utt}.wav")).frames for utt in utts]
    assert len(read_table(tmp_path / "dump" / "utt2dur").rows) == 40
    for epoch in range(10):
        planned = batches.dataset.planned_frames(epoch)
        assert [len(batches.dataset.feats(i, epoch)) for i in range(40)] == planned.tolist()
        assert sum(1 for _ in batches.epoch(epoch)) == 40


def test_no_utterance_without_a_bucket(dump, tokenizer, tiny):
    data = Dataset(dump / "train", tokenizer, tiny(), train=True)
    batches = BatchLoader(data, [Bucket(64, 9, 4)], seed=1, shuffle=True)
    with pytest.raises(ValueError, match="longer than the longest bucket"):
        batches.plan(0)
