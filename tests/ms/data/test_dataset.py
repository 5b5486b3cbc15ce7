"""A dump directory as a training set: its utterances, the skipped ones, and features that depend only on seed, epoch and utterance."""

import numpy as np
import pytest

from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.features.ark import read_matrix
from asrlib.ms.data.dataset import Dataset, ctc_frames
from asrlib.utils.errors import UserError
from tests.ms.conftest import TRAIN


def change(dump, table, **values):
    """Rewrites a table with other values; None drops the line."""
    rows = read_table(dump / table).rows | {key.replace("_", "-"): value for key, value in values.items()}
    write_table(dump / table, {key: value for key, value in rows.items() if value is not None})


def aside(dump, tokenizer, config, tmp_path):
    """The skipped utterances, {utterance: reason}, and the data set."""
    data = Dataset(dump, tokenizer, config, train=True)
    data.set_aside(tmp_path / "aside.tsv")
    return dict(line.split("\t") for line in (tmp_path / "aside.tsv").read_text().splitlines()), data


@pytest.mark.parametrize(("labels", "frames"), [([], 0), ([1], 1), ([1, 2, 1], 3), ([1, 1], 3), ([2, 2, 2, 1, 1], 8)])
def test_ctc_frames(labels, frames):
    assert ctc_frames(np.array(labels, np.int32)) == frames


def test_items(dump, tokenizer, tiny):
    data = Dataset(dump / "train", tokenizer, tiny(), train=True)
    assert [item.utt for item in data.items] == [f"train-{i}" for i in range(len(TRAIN))]
    locations = read_table(dump / "train" / "feats.scp").rows
    for i, (item, text) in enumerate(zip(data.items, TRAIN, strict=True)):
        assert tokenizer.decode(item.labels) == text and item.labels.dtype == np.int32
        feats = data.feats(i, epoch=0)
        np.testing.assert_array_equal(feats, read_matrix(locations[item.utt], item.utt))
        assert feats.shape == (item.frames, 21) and item.frames == data.planned_frames(0)[i] == 1 + item.samples // 20


def test_set_aside(own_dump, tokenizer, tiny, tmp_path):
    """Every reason by itself; the rest stays, in order."""
    dump = own_dump(["AB", "A", "B" * 20, "ABC", "CAB"])
    change(dump, "utt2num_frames", train_0="4")  # 2 output frames for A B, 3 for C A B, which needs one more
    change(dump, "text", train_3="A" * 31)  # 61 frames of features, 31 of output, 61 needed
    found, data = aside(dump, tokenizer, tiny("batch.min_seconds=0.035", "batch.max_seconds=3"), tmp_path)
    assert found == {
        "train-2": "4.01 s is longer than batch.max_seconds=3.0",
        "train-3": "31 output frames are fewer than the 61 that CTC needs for its labels",
    }
    assert [item.utt for item in data.items] == ["train-0", "train-1", "train-4"]
    found, _ = aside(dump, tokenizer, tiny("batch.min_seconds=0.05", "batch.max_seconds=5"), tmp_path)
    assert found["train-0"] == "0.04 s is shorter than batch.min_seconds=0.05"
    assert "train-2" not in found


@pytest.mark.parametrize(("frames", "kept"), [("61", False), ("60", False), ("121", True), ("120", False)])
def test_too_short_for_ctc_to_the_frame(own_dump, tokenizer, tiny, tmp_path, frames, kept):
    """31 equal letters need 61 output frames, so 121 of the features."""
    dump = own_dump(["A", "B"])
    change(dump, "text", train_0="A" * 31)
    change(dump, "utt2num_frames", train_0=frames)
    found, _ = aside(dump, tokenizer, tiny(), tmp_path)
    assert ("train-0" not in found) == kept


def test_too_short_for_ctc_when_played_faster(own_dump, tokenizer, tiny, tmp_path):
    """At 1.15 times the speed 121 frames are 106, 53 of output."""
    dump = own_dump(["AAAAAA", "B"])
    change(dump, "text", train_0="A" * 31)
    overrides = ("augment.speed_volume_perturb=true", "augment.speed_min=1.0")
    assert not aside(dump, tokenizer, tiny(*overrides, "augment.speed_max=1.0"), tmp_path)[0]
    assert "train-0" in aside(dump, tokenizer, tiny(*overrides, "augment.speed_max=1.15"), tmp_path)[0]


def test_nothing_left(own_dump, tokenizer, tiny, tmp_path):
    with pytest.raises(UserError, match="no utterance left to train on: see .*aside.tsv"):
        aside(own_dump(["A", "B"]), tokenizer, tiny("batch.max_seconds=0.1"), tmp_path)
    assert len((tmp_path / "aside.tsv").read_text().splitlines()) == 2


@pytest.mark.parametrize("name", ["feats.scp", "utt2num_frames", "utt2dur", "text"])
def test_missing_table(own_dump, tokenizer, tiny, name):
    dump = own_dump(["A", "B"])
    (dump / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing: run stage 2"):
        Dataset(dump, tokenizer, tiny(), train=True)


@pytest.mark.parametrize("name", ["feats.scp", "utt2num_frames", "utt2dur"])
def test_utterance_without_features(own_dump, tokenizer, tiny, name):
    dump = own_dump(["A", "B"])
    change(dump, name, train_1=None)
    with pytest.raises(UserError, match="utterance train-1 has no features: run stage 2 again with --force true"):
        Dataset(dump, tokenizer, tiny(), train=True)


def test_letter_outside_the_label_set(own_dump, tokenizer, tiny):
    dump = own_dump(["A", "B"])
    change(dump, "text", train_1="BÄ")
    with pytest.raises(UserError, match=r"utterance train-1: not in the label set: 'Ä' \(U\+00C4\)"):
        Dataset(dump, tokenizer, tiny(), train=True)


def test_no_dump(tmp_path, tokenizer, tiny):
    with pytest.raises(UserError, match="none is not a folder"):
        Dataset(tmp_path / "none", tokenizer, tiny(), train=True)


AUGMENTED = ("augment.spec_augment=true", "augment.speed_volume_perturb=true", "augment.freq_mask_width=4")


@pytest.mark.parametrize("overrides", [AUGMENTED[:1], AUGMENTED], ids=["features", "waveform"])
def test_augmentation_depends_on_seed_epoch_and_utterance_alone(dump, tokenizer, tiny, overrides):
    def feats(seed, epoch, order):
        data = Dataset(dump / "train", tokenizer, tiny(*overrides, f"trainer.seed={seed}"), train=True)
        return {i: data.feats(i, epoch) for i in order}

    everything = range(len(TRAIN))
    reference = feats(1, 2, everything)
    again = feats(1, 2, reversed(everything))
    for i in everything:
        np.testing.assert_array_equal(again[i], reference[i])
    for other in (feats(2, 2, everything), feats(1, 3, everything)):
        assert sum(not np.array_equal(other[i], reference[i]) for i in everything) >= 8  # widths may be 0


def test_speed_changes_frames_as_planned(dump, tokenizer, tiny):
    data = Dataset(dump / "train", tokenizer, tiny(*AUGMENTED), train=True)
    frames = data.planned_frames(5)
    assert [len(data.feats(i, 5)) for i in range(len(TRAIN))] == frames.tolist()
    ratios = np.concatenate([data.planned_frames(epoch) for epoch in range(30)]) / np.tile([item.frames for item in data.items], 30)
    assert 0.84 < ratios.min() < 0.9 and 1.12 < ratios.max() < 1.2


def test_validation_is_not_augmented(dump, tokenizer, tiny):
    plain = Dataset(dump / "valid", tokenizer, tiny(), train=False)
    data = Dataset(dump / "valid", tokenizer, tiny(*AUGMENTED, "augment.noise_dir=/nowhere"), train=False)
    for i in range(len(plain.items)):
        np.testing.assert_array_equal(data.feats(i, 3), plain.feats(i, 0))


def test_noise_folder_is_looked_at_before_training(dump, tokenizer, tiny):
    with pytest.raises(UserError, match="augment.noise_dir: /nowhere"):
        Dataset(dump / "train", tokenizer, tiny("augment.noise_dir=/nowhere"), train=True)


def test_fingerprint(own_dump, tokenizer, tiny):
    dump = own_dump(["A", "B"])
    before = Dataset(dump, tokenizer, tiny(), train=True).fingerprint()
    assert before == Dataset(dump, tokenizer, tiny("optim.learning_rate=1"), train=False).fingerprint()
    change(dump, "text", train_1="C")
    assert before != Dataset(dump, tokenizer, tiny(), train=True).fingerprint()
