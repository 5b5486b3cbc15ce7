"""Waveforms, with frame labels where there are any, in batches for masked prediction and for the contrastive task."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asrlib.config.pretraining import HubertConfig, LossConfig, PretrainConfig
from asrlib.corpora.durations import durations
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.ms.data.batches import BatchLoader, Bucket, bucket_edges, cut
from asrlib.ms.data.masking import draw_mask, draw_negatives
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)

RATE = 16000


@dataclass(frozen=True)
class Targets:
    """What stage 2 made for a set, by utterance: cluster of every frame, and for ProgRE pitch of every frame and number of the speaker."""

    labels: dict[str, np.ndarray]
    pitch: dict[str, np.ndarray]
    speakers: dict[str, int]


@dataclass(frozen=True)
class Item:
    """One utterance: its frames are those of its labels, which are empty where there are none; pitch (frames,) or None, speaker -1 where unknown."""

    utt: str
    frames: int
    labels: np.ndarray
    pitch: np.ndarray | None
    speaker: int
    source: Utterance


@dataclass(frozen=True)
class MaskedBatch:
    """wavs (B, S), lengths (B,), labels (B, T), mask (B, T), keep (layers,), seed (), pitch (B, T), speakers (B,): see asrlib.ms.objectives.masked_prediction."""

    utts: list[str]
    wavs: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    keep: np.ndarray
    seed: np.ndarray
    pitch: np.ndarray
    speakers: np.ndarray

    @property
    def units(self) -> int:
        """What the mean loss of an update counts: frames to predict."""
        return int(self.mask.sum())

    def split(self, count: int) -> list["MaskedBatch"]:
        """The same in at most `count` batches of one shape, each with dropout of its own."""
        rows = -(-len(self.wavs) // count)
        arrays = cut((self.wavs, self.lengths, self.labels, self.mask, self.pitch, self.speakers), rows, (0, 0, 0, 0, 0, -1))
        return [
            MaskedBatch(self.utts[i * rows : (i + 1) * rows], wavs, lengths, labels, mask, self.keep, part_seed(self.seed, i), pitch, speakers)
            for i, (wavs, lengths, labels, mask, pitch, speakers) in enumerate(arrays)
        ]

    def inputs(self, share: float, update: int) -> tuple[np.ndarray, ...]:
        """What the loss takes."""
        return self.wavs, self.lengths, self.labels, self.mask, self.keep, self.seed, np.array(share, np.float32), self.pitch, self.speakers


@dataclass(frozen=True)
class ContrastiveBatch:
    """wavs (B, S), lengths (B,), mask (B, T), negatives (B, T, T), keep (layers,), seed (), noise (B, T, codebooks * codewords): see asrlib.ms.objectives.contrastive."""

    utts: list[str]
    wavs: np.ndarray
    lengths: np.ndarray
    mask: np.ndarray
    negatives: np.ndarray
    keep: np.ndarray
    seed: np.ndarray
    noise: np.ndarray
    config: LossConfig

    @property
    def units(self) -> int:
        """What the mean loss of an update counts: frames to recognise."""
        return int(self.mask.sum())

    def split(self, count: int) -> list["ContrastiveBatch"]:
        """The same in at most `count` batches of one shape, each with dropout of its own."""
        rows = -(-len(self.wavs) // count)
        arrays = cut((self.wavs, self.lengths, self.mask, self.negatives, self.noise), rows, (0, 0, 0, 0, 0))
        return [
            ContrastiveBatch(self.utts[i * rows : (i + 1) * rows], wavs, lengths, mask, negatives, self.keep, part_seed(self.seed, i), noise, self.config)
            for i, (wavs, lengths, mask, negatives, noise) in enumerate(arrays)
        ]

    def inputs(self, share: float, update: int) -> tuple[np.ndarray, ...]:
        """What the loss takes; the temperature falls with the updates."""
        begin, least = self.config.temperature
        temperature = max(begin * self.config.temperature_decay**update, least)
        numbers = np.array(share, np.float32), np.array(temperature, np.float32)
        return self.wavs, self.lengths, self.mask, self.negatives, self.keep, self.seed, *numbers, self.noise


def part_seed(seed: np.ndarray, part: int) -> np.ndarray:
    """The seed of the dropout in a part of a batch; of the first one that of the batch."""
    return np.array((int(seed) + 1_000_003 * part) % (2**31 - 1), np.int32)


def samples_of(frames: int, config: HubertConfig) -> int:
    """The fewest samples that give that many frames."""
    for kernel, stride in zip(config.conv_kernels[::-1], config.conv_strides[::-1], strict=True):
        frames = (frames - 1) * stride + kernel
    return frames


class PretrainSet:
    """The utterances of a data directory in the order of their ids; with targets those that have some."""

    def __init__(self, data_dir: Path, targets: Targets | None, config: PretrainConfig, train: bool):
        self.config, self.train = config, train
        if config.model == "progre" and not (targets and targets.pitch):
            raise UserError(f"{data_dir}: no pitch: run stage 2 with the configuration of a ProgRE model")
        data = KaldiDir.read(data_dir)
        if targets is None:
            seconds = durations(data)
            self.items = [self._plain(utterance, seconds[utterance.id]) for utterance in data.utterances()]
        else:
            self.items = [self._item(utterance, targets) for utterance in data.utterances() if utterance.id in targets.labels]
        if not self.items:
            raise UserError(f"{data_dir}: none of its utterances has targets: run stage 2" if targets else f"{data_dir}: no utterances")

    def _item(self, utterance: Utterance, targets: Targets) -> Item:
        labels, pitch = targets.labels[utterance.id], targets.pitch.get(utterance.id)
        if labels.max(initial=0) >= self.config.model_conf.num_classes:
            raise UserError(f"utterance {utterance.id}: cluster {labels.max()} and model_conf.num_classes={self.config.model_conf.num_classes}")
        frames = len(labels) if pitch is None else min(len(labels), len(pitch))
        return Item(utterance.id, frames, labels[:frames].astype(np.int32), None if pitch is None else pitch[:frames], targets.speakers.get(utterance.id, -1), utterance)

    def _plain(self, utterance: Utterance, seconds: float) -> Item:
        frames = self.config.model_conf.frames(round(seconds * RATE))
        return Item(utterance.id, max(0, frames), np.zeros(0, np.int32), None, -1, utterance)

    def set_aside(self, report: Path) -> None:
        """Removes what is too short, and lists it with reasons in `report`. UserError: nothing is left."""
        least = max(1, self.config.model_conf.frames(round(self.config.batch.min_seconds * RATE)))
        kept = [item for item in self.items if item.frames >= least]
        with atomic_write(report) as stream:
            stream.writelines(f"{item.utt}\tshorter than batch.min_seconds={self.config.batch.min_seconds}\n" for item in self.items if item.frames < least)
        if len(kept) < len(self.items):
            log.warning("%d of %d utterances set aside as too short: %s", len(self.items) - len(kept), len(self.items), report)
        if not kept:
            raise UserError(f"no utterance is as long as batch.min_seconds={self.config.batch.min_seconds}: see {report}")
        self.items = kept

    def fingerprint(self) -> str:
        """A digest of ids and targets: another one means other data."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"{item.utt} {item.frames} {item.speaker}\n".encode() + item.labels.tobytes())
        return digest.hexdigest()

    def planned_frames(self, epoch: int) -> np.ndarray:
        """Frames of each item as it is cropped."""
        return np.minimum([item.frames for item in self.items], self._longest())

    def crop(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, Item]:
        """Samples (n,) and item, cropped at random (validation: to the beginning) where the utterance is longer than batch.max_seconds."""
        item, model = self.items[index], self.config.model_conf
        audio = item.source.audio(RATE)
        if model.normalize:
            audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-5)
        length = min(item.frames, self._longest())
        first = int(rng.integers(item.frames - length + 1)) if self.train else 0
        audio = audio[first * model.hop :][: samples_of(length, model)]
        if not item.labels.size and len(audio) + model.hop <= samples_of(length, model):  # resampling may round
            raise UserError(f"utterance {item.utt}: its audio is shorter than when its duration was noted: run stage 1 again")
        cut = slice(first, first + length)
        return audio, replace(item, frames=length, labels=item.labels[cut], pitch=None if item.pitch is None else item.pitch[cut])

    def _longest(self) -> int:
        return self.config.model_conf.frames(round(self.config.batch.max_seconds * RATE))


def make_buckets(dataset: PretrainSet) -> list[Bucket]:
    """Padded lengths in frames, with as many utterances as make batch.batch_seconds."""
    batch, model = dataset.config.batch, dataset.config.model_conf
    edges = bucket_edges(dataset.planned_frames(0), batch.buckets)
    return [Bucket(edge, edge, max(1, int(batch.batch_seconds * RATE / samples_of(edge, model)))) for edge in edges]


class PretrainLoader(BatchLoader):
    """Epochs of batches for masked prediction; epoch, position and seed alone decide what a batch holds."""

    dataset: PretrainSet

    def _jobs(self, plan: list[tuple[Bucket, list[int]]], epoch: int) -> Iterator[tuple[Bucket, list[int]]]:
        yield from plan

    def _make(self, job: tuple[Bucket, list[int]], epoch: int) -> MaskedBatch:
        bucket, indices = job
        size, frames = bucket.batch_size, bucket.frames
        wavs, lengths, mask, items, _ = self._masked(bucket, indices, epoch)
        labels, pitch, speakers = np.zeros((size, frames), np.int32), np.zeros((size, frames), np.float32), np.full(size, -1, np.int32)
        for row, item in enumerate(items):
            labels[row, : item.frames], speakers[row] = item.labels, item.speaker
            if item.pitch is not None:
                pitch[row, : item.frames] = item.pitch
        keep, seed, _ = self._drawn(indices, epoch)
        return MaskedBatch([item.utt for item in items], wavs, lengths, labels, mask, keep, seed, pitch, speakers)

    def _masked(self, bucket: Bucket, indices: list[int], epoch: int):
        """wavs, lengths and mask of a batch, its items as they are cropped, and the generator of each."""
        config = self.dataset.config
        wavs = np.zeros((bucket.batch_size, samples_of(bucket.frames, config.model_conf)), np.float32)
        lengths, mask = np.zeros(bucket.batch_size, np.int32), np.zeros((bucket.batch_size, bucket.frames), np.float32)
        items, generators = [], []
        for row, index in enumerate(indices):
            rng = np.random.default_rng((self.seed, epoch, index))
            audio, item = self.dataset.crop(index, rng)
            wavs[row, : len(audio)], lengths[row] = audio, len(audio)
            mask[row, : item.frames] = draw_mask(item.frames, config.mask, rng)
            items.append(item)
            generators.append(rng)
        return wavs, lengths, mask, items, generators

    def _drawn(self, indices: list[int], epoch: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
        """Layers to keep, seed of the dropout, and the generator that both come from."""
        model = self.dataset.config.model_conf
        rng = np.random.default_rng((self.seed, epoch, indices[0], len(indices)))
        keep = (rng.random(model.layers) >= (model.layerdrop if self.dataset.train else 0.0)).astype(np.float32)
        return keep, np.array(rng.integers(2**31 - 1), np.int32), rng


class ContrastiveLoader(PretrainLoader):
    """The same for the contrastive task: negatives of every masked frame and, in training, Gumbel noise for the quantiser."""

    def _make(self, job: tuple[Bucket, list[int]], epoch: int) -> ContrastiveBatch:
        bucket, indices = job
        config = self.dataset.config
        wavs, lengths, mask, items, generators = self._masked(bucket, indices, epoch)
        negatives = np.zeros((bucket.batch_size, bucket.frames, bucket.frames), np.float32)
        for row, rng in enumerate(generators):
            if not draw_negatives(mask[row], config.loss.negatives, rng, negatives[row]):
                mask[row] = 0  # a single masked frame has nothing to be told from
        keep, seed, rng = self._drawn(indices, epoch)
        noise = np.zeros((bucket.batch_size, bucket.frames, config.model_conf.codebooks * config.model_conf.codewords), np.float32)
        if self.dataset.train:
            noise -= np.log(np.maximum(rng.standard_exponential(noise.shape, np.float32), 1e-30))
        return ContrastiveBatch([item.utt for item in items], wavs, lengths, mask, negatives, keep, seed, noise, config.loss)
