"""The utterances of a dump directory for CTC training. Features are read from the cache, or computed from augmented waveforms."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrlib.config.ctc import TrainConfig
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.features.ark import read_matrix
from asrlib.features.augment import NoiseInjector, draw_speed, perturb_speed, perturb_volume, perturbed_samples, spec_augment
from asrlib.features.compute import compute, num_frames, prepared
from asrlib.features.extract import features_digest
from asrlib.ms.data.items import Items
from asrlib.ms.data.mindrecord import Shards
from asrlib.text.tokenizers import Tokenizer
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.keyed_lines import joined, sorted_keys
from asrlib.utils.log import get_logger

log = get_logger(__name__)

FEATURES = ("feats.scp", "utt2num_frames", "utt2dur")  # tables of stage 2


@dataclass(frozen=True)
class Item:
    """One utterance: frames of its features, label ids (L,) int32, location of the cached features."""

    utt: str
    frames: int
    samples: int
    labels: np.ndarray
    location: str
    source: Utterance


class Sizes(NamedTuple):
    """Of an item: frames, samples, number of labels, output frames that CTC needs for them."""

    frames: int
    samples: int
    labels: int
    needed: int


def _sizes(item: Item) -> Sizes:
    return Sizes(item.frames, item.samples, len(item.labels), ctc_frames(item.labels))


def ctc_frames(labels: np.ndarray) -> int:
    """The minimum number of output frames for these labels under CTC: one each, and a blank between equal neighbours."""
    return len(labels) + int(np.sum(labels[1:] == labels[:-1]))


class Dataset:
    """Items of a dump directory with features and transcripts, in the order of their ids; in memory are their sizes, the tables stay on disk."""

    def __init__(self, dump_dir: Path, tokenizer: Tokenizer, config: TrainConfig, train: bool):
        self.config, self.augment = config, config.augment if train else None
        self.on_waveform = train and config.augment.on_waveform
        self.dump_dir, self.tokenizer, self.data = dump_dir, tokenizer, _open(dump_dir)
        self.channels, self.utts = self.data.channels(), sorted_keys(self.data.utt2spk)
        sizes = (size for item in self._every() for size in _sizes(item))
        self.sizes = np.fromiter(sizes, np.int64).reshape(-1, len(Sizes._fields))
        self.items: Sequence[Item] = Items(self._item, self._every, np.arange(len(self.sizes)))
        if not self.items:
            raise UserError(f"{dump_dir}: no utterances: run stage 2")
        self.noise = NoiseInjector(config.augment, config.features.sample_rate) if train and config.augment.noise_dir else None
        self.features_digest = features_digest(dump_dir)
        self.shards = Shards.find(dump_dir, config.features.dim)
        log.info("%s: features from %s", dump_dir, f"{len(self.shards.paths)} MindRecord shards" if self.shards else "archives")

    def _every(self) -> Iterator[Item]:
        """All utterances of the directory."""
        rows = joined(self.data.utt2spk, *(self.data.tables[name] for name in FEATURES))
        return (self._made(utterance, values) for utterance, (*_, values) in zip(self.data.utterances(), rows, strict=True))

    def _item(self, number: int) -> Item:
        """The utterance with that number in the directory."""
        utt = self.utts[number]
        return self._made(self.data.utterance(utt, self.channels), [self.data.tables[name].get(utt) for name in FEATURES])

    def _made(self, utterance: Utterance, values: Sequence[str | None]) -> Item:
        location, frames, seconds = values
        if location is None or frames is None or seconds is None:
            raise UserError(f"{self.dump_dir}: utterance {utterance.id} has no features: run stage 2 again with --force true")
        labels = np.array(self.tokenizer.encode(utterance.text or "", f"utterance {utterance.id}"), np.int32)
        return Item(utterance.id, int(frames), round(float(seconds) * self.config.features.sample_rate), labels, location, utterance)

    def set_aside(self, report: Path) -> None:
        """Removes utterances that are too long, too short, or too short for their labels under CTC, and lists them with the reason in `report`."""
        batch, stride = self.config.batch, self.config.features.window_stride
        rejected = {}
        for number, row in enumerate(map(Sizes._make, map(np.ndarray.tolist, self.sizes))):
            seconds, output = row.frames * stride, self.config.model_conf.output_frames(self._fewest_frames(row))
            if not row.labels:
                rejected[number] = "empty transcript"
            elif seconds > batch.max_seconds:
                rejected[number] = f"{seconds:.2f} s is longer than batch.max_seconds={batch.max_seconds}"
            elif seconds < batch.min_seconds:
                rejected[number] = f"{seconds:.2f} s is shorter than batch.min_seconds={batch.min_seconds}"
            elif output < row.needed:
                rejected[number] = f"{output} output frames are fewer than the {row.needed} that CTC needs for its labels"
        with atomic_write(report) as stream:
            stream.writelines(f"{self.utts[number]}\t{reason}\n" for number, reason in rejected.items())
        if rejected:
            first, reason = next(iter(rejected.items()))
            log.warning("%d of %d utterances skipped, the first %s (%s): see %s", len(rejected), len(self.sizes), self.utts[first], reason, report)
        kept = np.delete(np.arange(len(self.sizes)), list(rejected))
        if not len(kept):
            raise UserError(f"no utterance left to train on: see {report}")
        self.items, self.sizes = Items(self._item, self._every, kept), self.sizes[kept]

    def _fewest_frames(self, item: Sizes) -> int:
        """Frames of an item at the highest speed."""
        if not (self.on_waveform and self.augment.speed_volume_perturb):
            return item.frames
        return num_frames(perturbed_samples(item.samples, max(1.0, self.augment.speed_max)), self.config.features)

    def fingerprint(self) -> str:
        """A digest of ids, labels and features; it changes with the data."""
        digest = hashlib.sha256(self.features_digest.encode())
        for item in self.items:
            digest.update(f"{item.utt} {item.frames} {item.samples}\n".encode() + item.labels.tobytes())
        return digest.hexdigest()

    @property
    def frames(self) -> np.ndarray:
        """Frames of each item."""
        return self.sizes[:, Sizes._fields.index("frames")]

    @property
    def label_counts(self) -> np.ndarray:
        """Labels of each item."""
        return self.sizes[:, Sizes._fields.index("labels")]

    def planned_frames(self, epoch: int) -> np.ndarray:
        """Frames of each item in that epoch; they depend on its random speed."""
        if not self.on_waveform:
            return self.frames
        samples = map(int, self.sizes[:, Sizes._fields.index("samples")])
        frames = (num_frames(perturbed_samples(count, self._speed(i, epoch)), self.config.features) for i, count in enumerate(samples))
        return np.fromiter(frames, np.int64, len(self.sizes))

    def cached(self, indices: Sequence[int], epoch: int) -> Iterator[np.ndarray | None]:
        """Argument `cached` of `feats` for these items, prefetched from the shards in this order; None for features from elsewhere."""
        if self.shards is None:
            return repeat(None, len(indices))
        in_shards = [not self._from_waveform(i, epoch) for i in indices]
        matrices = self.shards.read([self.items[i].utt for i, cached in zip(indices, in_shards, strict=True) if cached])
        return (next(matrices) if cached else None for cached in in_shards)

    def feats(self, index: int, epoch: int, cached: np.ndarray | None = None) -> np.ndarray:
        """Features (frames, bins) of an item, augmented by a generator seeded with seed, epoch and index: the same in every run."""
        item, feats = self.items[index], cached
        if self._from_waveform(index, epoch):
            feats = compute(self._waveform(index, epoch), self.config.features, f"utterance {item.utt}")
        elif cached is None:
            feats = read_matrix(item.location, f"utterance {item.utt}", self.config.features.dim)
        if self.augment is not None and self.augment.spec_augment:
            return spec_augment(feats, self.augment, self._rng(index, epoch, 2))
        return feats

    def _from_waveform(self, index: int, epoch: int) -> bool:
        """Whether an item's features are computed from changed audio in that epoch, rather than cached."""
        return self.on_waveform and (self.noise is not None or self._perturbed(index, epoch))

    def _waveform(self, index: int, epoch: int) -> np.ndarray:
        rate = self.config.features.sample_rate
        audio = perturb_speed(prepared(self.items[index].source.audio(rate), self.config.features), self._speed(index, epoch))
        rng = self._rng(index, epoch, 1)
        if self._perturbed(index, epoch):
            audio = perturb_volume(audio, self.augment, rng)
        return self.noise(audio, rng) if self.noise else audio

    def _speed(self, index: int, epoch: int) -> float:
        return draw_speed(self.augment, self._rng(index, epoch, 0)) if self._perturbed(index, epoch) else 1.0

    def _perturbed(self, index: int, epoch: int) -> bool:
        """Whether the speed and volume of an item are changed in that epoch."""
        chance = self.augment.speed_volume_prob
        return self.augment.speed_volume_perturb and (chance >= 1 or self._rng(index, epoch, 3).random() < chance)

    def _rng(self, index: int, epoch: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.config.trainer.seed, epoch, index, purpose))


def _open(dump_dir: Path) -> KaldiDir:
    data = KaldiDir.on_disk(dump_dir)
    for name in (*FEATURES, "text"):
        if name not in data.tables:
            raise UserError(f"{dump_dir / name} is missing: run stage 2")
    return data
