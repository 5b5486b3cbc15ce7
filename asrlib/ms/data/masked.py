"""Batches of waveforms with masked frames: to predict their clusters, or to identify them among negatives."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from asrlib.config.models.wav2vec2 import ContrastiveLossConfig
from asrlib.ms.data.batches import BatchLoader, Bucket, draw_seed, split_rows
from asrlib.ms.data.masking import draw_mask, draw_negatives
from asrlib.ms.data.waveforms import WaveformSet


@dataclass(frozen=True)
class WaveformBatch:
    """wavs (B, S), lengths (B,) samples, frame_counts (B,), mask (B, T) 1 where masked, keep (layers,) 0 for a skipped layer, seed () of dropout."""

    utts: list[str]
    wavs: np.ndarray
    lengths: np.ndarray
    frame_counts: np.ndarray
    mask: np.ndarray
    keep: np.ndarray
    seed: np.ndarray
    padding: ClassVar[dict[str, float]] = {"wavs": 0, "lengths": 0, "frame_counts": 0, "mask": 0}  # of the arrays with a row per utterance

    @property
    def units(self) -> int:
        """Masked frames."""
        return int(self.mask.sum())

    @property
    def frames(self) -> int:
        """Frames of the network's output."""
        return int(self.frame_counts.sum())

    @property
    def shape(self) -> tuple[int, int]:
        """See asrlib.ms.data.batches.Batch."""
        return self.wavs.shape[:2]

    def split(self, count: int) -> list["WaveformBatch"]:
        """See asrlib.ms.data.batches.Batch."""
        return split_rows(self, count, self.padding)


@dataclass(frozen=True)
class MaskedBatch(WaveformBatch):
    """labels (B, T) int32, pitch (B, T), speakers (B,) int32, -1 where unknown."""

    labels: np.ndarray
    pitch: np.ndarray
    speakers: np.ndarray
    padding: ClassVar[dict[str, float]] = WaveformBatch.padding | {"labels": 0, "pitch": 0, "speakers": -1}

    def inputs(self, share: float, update: int) -> tuple[np.ndarray, ...]:
        """See asrlib.ms.objectives.masked_prediction.MaskedLoss."""
        return self.wavs, self.lengths, self.labels, self.mask, self.keep, self.seed, np.array(share, np.float32), self.pitch, self.speakers


@dataclass(frozen=True)
class ContrastiveBatch(WaveformBatch):
    """negatives (B, T, T), noise (B, T, codebooks * codewords)."""

    negatives: np.ndarray
    noise: np.ndarray
    config: ContrastiveLossConfig
    padding: ClassVar[dict[str, float]] = WaveformBatch.padding | {"negatives": 0, "noise": 0}

    def inputs(self, share: float, update: int) -> tuple[np.ndarray, ...]:
        """See asrlib.ms.objectives.contrastive.ContrastiveLoss; the temperature decreases with the updates."""
        begin, least = self.config.temperature
        temperature = max(begin * self.config.temperature_decay**update, least)
        numbers = np.array(share, np.float32), np.array(temperature, np.float32)
        return self.wavs, self.lengths, self.mask, self.negatives, self.keep, self.seed, *numbers, self.noise


class MaskedLoader(BatchLoader):
    """Epochs of batches for masked prediction. A batch depends only on seed, epoch and position."""

    dataset: WaveformSet

    def _jobs(self, plan: list[tuple[Bucket, list[int]]], epoch: int) -> Iterator[tuple[Bucket, list[int]]]:
        yield from plan

    def _make(self, job: tuple[Bucket, list[int]], epoch: int) -> MaskedBatch:
        bucket, indices = job
        size, frames = bucket.batch_size, bucket.frames
        common, items, _, _ = self._masked(bucket, indices, epoch)
        labels, pitch, speakers = np.zeros((size, frames), np.int32), np.zeros((size, frames), np.float32), np.full(size, -1, np.int32)
        for row, item in enumerate(items):
            labels[row, : item.frames], speakers[row] = item.labels, item.speaker
            if item.pitch is not None:
                pitch[row, : item.frames] = item.pitch
        return MaskedBatch(**common, labels=labels, pitch=pitch, speakers=speakers)

    def _masked(self, bucket: Bucket, indices: list[int], epoch: int):
        """Fields that all batches of waveforms have, by name; the cropped items; a random generator for each of them, and one for the batch."""
        config = self.dataset.config
        wavs = np.zeros((bucket.batch_size, config.model_conf.samples(bucket.frames)), np.float32)
        lengths, mask = np.zeros(bucket.batch_size, np.int32), np.zeros((bucket.batch_size, bucket.frames), np.float32)
        frame_counts, items, generators = np.zeros(bucket.batch_size, np.int32), [], []
        for row, index in enumerate(indices):
            rng = np.random.default_rng((self.seed, epoch, index))
            audio, item = self.dataset.crop(index, rng)
            wavs[row, : len(audio)], lengths[row], frame_counts[row] = audio, len(audio), item.frames
            mask[row, : item.frames] = draw_mask(item.frames, config.mask, rng)
            items.append(item)
            generators.append(rng)
        rng, model = np.random.default_rng((self.seed, epoch, indices[0], len(indices))), config.model_conf
        keep = (rng.random(model.layers) >= (model.layerdrop if self.dataset.train else 0.0)).astype(np.float32)
        arrays = {"wavs": wavs, "lengths": lengths, "frame_counts": frame_counts, "mask": mask, "keep": keep, "seed": draw_seed(rng)}
        common = {"utts": [item.utt for item in items], **arrays}
        return common, items, generators, rng


class ContrastiveLoader(MaskedLoader):
    """Epochs of batches for the contrastive task, with negatives of every masked frame and, in training, Gumbel noise for the quantiser."""

    def _make(self, job: tuple[Bucket, list[int]], epoch: int) -> ContrastiveBatch:
        bucket, indices = job
        config = self.dataset.config
        common, _, generators, rng = self._masked(bucket, indices, epoch)
        mask, negatives = common["mask"], np.zeros((bucket.batch_size, bucket.frames, bucket.frames), np.float32)
        for row, own in enumerate(generators):
            if not draw_negatives(mask[row], config.loss.negatives, own, negatives[row]):
                mask[row] = 0  # a single masked frame has no negatives
        noise = np.zeros((bucket.batch_size, bucket.frames, config.model_conf.codebooks * config.model_conf.codewords), np.float32)
        if self.dataset.train:
            noise -= np.log(np.maximum(rng.standard_exponential(noise.shape, np.float32), 1e-30))
        return ContrastiveBatch(**common, negatives=negatives, noise=noise, config=config.loss)
