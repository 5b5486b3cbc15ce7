"""Bucketed batches in a reproducible order, prefetched by threads."""

import math
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from asrlib.ms.data.dataset import Dataset


class Batch(Protocol):
    """Rows of one padded length; the interface is the same for all objectives. Rows beyond those of `utts` are padding."""

    utts: list[str]
    seed: np.ndarray

    @property
    def units(self) -> int:
        """What the mean loss of an update is taken over: number of utterances, or of frames to predict."""

    @property
    def frames(self) -> int:
        """Frames of the utterances, without padding."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and padded length (frames of features, or samples)."""

    def inputs(self, share: float, update: int) -> tuple[np.ndarray, ...]:
        """Arguments of the objective's loss. share: of this batch in the mean loss of the update; update: number of updates done before."""

    def split(self, count: int) -> list["Batch"]:
        """The batch in at most `count` parts of one shape."""


B = TypeVar("B", bound=Batch)


@dataclass(frozen=True)
class CtcBatch:
    """feats (B, T, F) float32 zero-padded, feat_lengths (B,) int32, labels (B, L) int32 zero-padded, label_lengths (B,) int32, seed () of dropout."""

    utts: list[str]
    feats: np.ndarray
    feat_lengths: np.ndarray
    labels: np.ndarray
    label_lengths: np.ndarray
    seed: np.ndarray

    @property
    def units(self) -> int:
        """Utterances."""
        return len(self.utts)

    @property
    def frames(self) -> int:
        """Frames of the features."""
        return int(self.feat_lengths[: len(self.utts)].sum())

    @property
    def shape(self) -> tuple[int, int]:
        """See Batch."""
        return self.feats.shape[:2]

    def inputs(self, share: float = 1.0, update: int = 0) -> tuple[np.ndarray, ...]:
        """See Batch and asrlib.ms.objectives.ctc.CtcLoss."""
        weights = np.zeros(len(self.feats), np.float32)
        weights[: len(self.utts)] = 1 / max(1, len(self.utts))
        return self.feats, self.feat_lengths, self.labels, self.label_lengths, weights, np.array(share, np.float32), self.seed

    def split(self, count: int) -> list["CtcBatch"]:
        """See Batch."""
        return split_rows(self, count, {"feats": 0, "feat_lengths": 1, "labels": 0, "label_lengths": 0})


def draw_seed(rng: np.random.Generator) -> np.ndarray:
    """() int32: a seed of dropout."""
    return np.array(rng.integers(2**31 - 1), np.int32)


def split_rows(batch: B, count: int, padding: dict[str, float]) -> list[B]:
    """A batch in at most `count` parts of one shape, each with a seed of its own; the first one keeps that of the batch.

    padding: names of the arrays with a row per utterance -> value of the rows that fill up the last part.
    """
    total = batch.shape[0]
    size = -(-total // count)
    parts = []
    for first in range(0, total, size):
        arrays = {name: getattr(batch, name)[first : first + size] for name in padding}
        missing = size - min(size, total - first)
        if missing:
            arrays = {
                name: np.concatenate([array, np.full((missing, *array.shape[1:]), padding[name], array.dtype)]) for name, array in arrays.items()
            }
        seed = np.array((int(batch.seed) + 1_000_003 * len(parts)) % (2**31 - 1), np.int32)
        parts.append(replace(batch, utts=batch.utts[first : first + size], seed=seed, **arrays))
    return parts


@dataclass(frozen=True)
class Bucket:
    """Batches of up to `batch_size` utterances, padded to `frames` frames and `labels` labels."""

    frames: int
    labels: int
    batch_size: int


Job = tuple[Bucket, list[int], list[np.ndarray | None]]  # items of a batch, and their features if these are read from shards


def bucket_edges(frames: np.ndarray, count: int) -> list[int]:
    """Up to `count` padded lengths that cover `frames`; each bucket gets an equal share of the audio, not of the utterances."""
    frames = np.sort(frames)
    share = np.cumsum(frames) / frames.sum()
    places = [min(int(np.searchsorted(share, (i + 1) / count)), len(frames) - 1) for i in range(count)]
    return sorted({_round_up(int(frames[place])) for place in places} | {_round_up(int(frames[-1]))})


def make_buckets(dataset: Dataset, count: int, batch_size: int, batch_seconds: float) -> list[Bucket]:
    """Buckets for a data set; with speed perturbation one more, for the longest utterances slowed down."""
    config = dataset.config
    perturbed = dataset.on_waveform and config.augment.speed_volume_perturb
    slowest, fastest = (config.augment.speed_min, config.augment.speed_max) if perturbed else (1.0, 1.0)
    frames = dataset.frames
    edges = bucket_edges(frames, count)
    if slowest < 1:
        edges.append(_round_up(math.ceil(frames.max() / slowest) + 1))
    buckets = []
    for edge in edges:
        fitting = int(batch_seconds / (edge * config.features.window_stride)) if batch_seconds > 0 else batch_size
        labels = int(dataset.label_counts[frames / fastest <= edge + 1].max(initial=0)) if (frames / fastest <= edge + 1).any() else 1
        buckets.append(Bucket(edge, labels, max(1, min(batch_size, fitting))))
    return buckets


def _round_up(frames: int, step: int = 16) -> int:
    return -(-frames // step) * step


class BatchLoader:
    """Epochs of batches of a data set. A batch depends only on seed, epoch and position, so training resumes exactly.

    Without shuffle (validation) buckets are no larger than the number of their utterances: the rest would be padding in every epoch.
    """

    def __init__(
        self, dataset: Dataset, buckets: list[Bucket], seed: int, shuffle: bool, prefetch: int = 8, threads: int = 2, short_first: bool = False
    ):
        self.dataset, self.buckets, self.seed, self.shuffle, self.prefetch, self.threads = dataset, buckets, seed, shuffle, prefetch, threads
        self.short_first = short_first
        if not shuffle:
            places, counts = np.unique(self._places(0), return_counts=True)
            most = dict(zip(places.tolist(), counts.tolist(), strict=True))
            self.buckets = [replace(bucket, batch_size=min(bucket.batch_size, most.get(i, 1))) for i, bucket in enumerate(buckets)]

    def _places(self, epoch: int) -> np.ndarray:
        """The number of each utterance's bucket."""
        frames = self.dataset.planned_frames(epoch)
        places = np.searchsorted([bucket.frames for bucket in self.buckets], frames)
        if places.max() == len(self.buckets):
            raise ValueError(f"{frames.max()} frames: longer than the longest bucket")
        return places

    def plan(self, epoch: int) -> list[tuple[Bucket, list[int]]]:
        """The batches of an epoch as item numbers.

        Each utterance occurs at least once. If shuffled, the last batch of a bucket is filled up with utterances drawn from the same bucket:
        a smaller batch would need a graph of its own, and batch normalisation would see few utterances. With `short_first` the first epoch
        goes from short buckets to long ones (Amodei et al. 2016, section 3.4).
        """
        place = self._places(epoch)
        rng = np.random.default_rng((self.seed, epoch))
        batches = []
        for number, bucket in enumerate(self.buckets):
            members = np.flatnonzero(place == number)
            if not members.size:
                continue
            size = bucket.batch_size
            if self.shuffle:
                members = np.concatenate([rng.permutation(members), rng.choice(members, -members.size % size, replace=members.size < size)])
            batches += [(bucket, members[i : i + size].tolist()) for i in range(0, members.size, size)]
        if not self.shuffle or (epoch == 0 and self.short_first):
            return batches
        return [batches[i] for i in rng.permutation(len(batches))]

    def epoch(self, epoch: int, start: int = 0, numbers: Sequence[int] | None = None) -> Iterator[Batch]:
        """The batches of an epoch from number `start`, or those of these numbers, prefetched by threads; one of them reads the shards in order."""
        plan = self.plan(epoch)
        plan = plan[start:] if numbers is None else [plan[number] for number in numbers]
        jobs = self._jobs(plan, epoch)
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(self.threads) as makers:
            ahead = (makers.submit(lambda job: self._make(job.result(), epoch), reader.submit(next, jobs)) for _ in plan)
            waiting = list(islice(ahead, self.prefetch))
            try:
                while waiting:
                    batch = waiting.pop(0).result()
                    waiting += islice(ahead, 1)
                    yield batch
            finally:
                reader.shutdown(cancel_futures=True)
                makers.shutdown(cancel_futures=True)
                jobs.close()

    def _jobs(self, plan: list[tuple[Bucket, list[int]]], epoch: int) -> Generator[Job, None, None]:
        """The batches of a plan with the features that are cached in shards."""
        cached = self.dataset.cached([index for _, indices in plan for index in indices], epoch)
        for bucket, indices in plan:
            yield bucket, indices, list(islice(cached, len(indices)))

    def _make(self, job: Job, epoch: int) -> CtcBatch:
        bucket, indices, cached = job
        items = [self.dataset.items[i] for i in indices]
        feats = np.zeros((bucket.batch_size, bucket.frames, self.dataset.config.features.dim), np.float32)
        labels = np.zeros((bucket.batch_size, max(1, bucket.labels)), np.int32)
        feat_lengths, label_lengths = np.ones(bucket.batch_size, np.int32), np.zeros(bucket.batch_size, np.int32)
        for row, (index, item) in enumerate(zip(indices, items, strict=True)):
            matrix = self.dataset.feats(index, epoch, cached[row])
            feats[row, : len(matrix)], feat_lengths[row] = matrix, len(matrix)
            labels[row, : len(item.labels)], label_lengths[row] = item.labels, len(item.labels)
        seed = draw_seed(np.random.default_rng((self.seed, epoch, indices[0], len(indices))))
        return CtcBatch([item.utt for item in items], feats, feat_lengths, labels, label_lengths, seed)
