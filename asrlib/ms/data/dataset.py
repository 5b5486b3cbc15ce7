"""The utterances of a dump directory for CTC training. Features are read from the cache, or computed from augmented waveforms."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from asrlib.config.ctc import TrainConfig
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.features.ark import read_matrix
from asrlib.features.augment import NoiseInjector, draw_speed, perturb_speed, perturb_volume, perturbed_samples, spec_augment
from asrlib.features.compute import compute, num_frames, prepared
from asrlib.features.extract import features_digest
from asrlib.ms.data.mindrecord import Shards
from asrlib.text.tokenizers import Tokenizer
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Item:
    """One utterance: frames of its features, label ids (L,) int32, location of the cached features."""

    utt: str
    frames: int
    samples: int
    labels: np.ndarray
    location: str
    source: Utterance


def ctc_frames(labels: np.ndarray) -> int:
    """The minimum number of output frames for these labels under CTC: one each, and a blank between equal neighbours."""
    return len(labels) + int(np.sum(labels[1:] == labels[:-1]))


class Dataset:
    """Items of a dump directory with features and transcripts, in the order of their ids."""

    def __init__(self, dump_dir: Path, tokenizer: Tokenizer, config: TrainConfig, train: bool):
        self.config, self.augment = config, config.augment if train else None
        self.on_waveform = train and config.augment.on_waveform
        self.items = list(_read(dump_dir, tokenizer, config))
        if not self.items:
            raise UserError(f"{dump_dir}: no utterances: run stage 2")
        self.noise = NoiseInjector(config.augment, config.features.sample_rate) if train and config.augment.noise_dir else None
        self.features_digest = features_digest(dump_dir)
        self.shards = Shards.find(dump_dir, config.features.dim)
        log.info("%s: features from %s", dump_dir, f"{len(self.shards.paths)} MindRecord shards" if self.shards else "archives")

    def set_aside(self, report: Path) -> None:
        """Removes utterances that are too long, too short, or too short for their labels under CTC, and lists them with the reason in `report`."""
        batch, stride = self.config.batch, self.config.features.window_stride
        kept, rejected = [], []
        for item in self.items:
            seconds, output = item.frames * stride, self.config.model_conf.output_frames(self._fewest_frames(item))
            if not item.labels.size:
                rejected.append((item.utt, "empty transcript"))
            elif seconds > batch.max_seconds:
                rejected.append((item.utt, f"{seconds:.2f} s is longer than batch.max_seconds={batch.max_seconds}"))
            elif seconds < batch.min_seconds:
                rejected.append((item.utt, f"{seconds:.2f} s is shorter than batch.min_seconds={batch.min_seconds}"))
            elif output < ctc_frames(item.labels):
                rejected.append((item.utt, f"{output} output frames are fewer than the {ctc_frames(item.labels)} that CTC needs for its labels"))
            else:
                kept.append(item)
        with atomic_write(report) as stream:
            stream.writelines(f"{utt}\t{reason}\n" for utt, reason in rejected)
        if rejected:
            log.warning("%d of %d utterances skipped, the first %s (%s): see %s", len(rejected), len(self.items), *rejected[0], report)
        if not kept:
            raise UserError(f"no utterance left to train on: see {report}")
        self.items = kept

    def _fewest_frames(self, item: Item) -> int:
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

    def planned_frames(self, epoch: int) -> np.ndarray:
        """Frames of each item in that epoch; they depend on its random speed."""
        if not self.on_waveform:
            return np.array([item.frames for item in self.items])
        return np.array(
            [num_frames(perturbed_samples(item.samples, self._speed(i, epoch)), self.config.features) for i, item in enumerate(self.items)]
        )

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


def _read(dump_dir: Path, tokenizer: Tokenizer, config: TrainConfig):
    data = KaldiDir.read(dump_dir)
    for name in ("feats.scp", "utt2num_frames", "utt2dur", "text"):
        if name not in data.tables:
            raise UserError(f"{dump_dir / name} is missing: run stage 2")
    frames, locations, seconds = data.tables["utt2num_frames"], data.tables["feats.scp"], data.tables["utt2dur"]
    for utterance in data.utterances():
        if any(utterance.id not in table for table in (locations, frames, seconds)):
            raise UserError(f"{dump_dir}: utterance {utterance.id} has no features: run stage 2 again with --force true")
        labels = np.array(tokenizer.encode(utterance.text or "", f"utterance {utterance.id}"), np.int32)
        samples = round(float(seconds[utterance.id]) * config.features.sample_rate)
        yield Item(utterance.id, int(frames[utterance.id]), samples, labels, locations[utterance.id], utterance)
