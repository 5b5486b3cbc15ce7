"""Waveforms for pretraining with the targets of stage 2: clusters and pitch of the frames, speakers."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from asrlib.config.pretraining import RATE, TARGET_HOP, PretrainConfig
from asrlib.corpora.durations import seconds
from asrlib.corpora.fingerprint import audio_digest
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.features.targets import read_hop, read_speakers, targets_on_disk
from asrlib.ms.data.batches import Bucket, bucket_edges
from asrlib.ms.data.items import Items
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.keyed_lines import joined, sorted_keys
from asrlib.utils.log import get_logger

log = get_logger(__name__)

NO_TARGETS = -1  # instead of the frames of an utterance without


@dataclass(frozen=True)
class Targets:
    """Targets of stage 2 by utterance: cluster of every frame and, for ProgRE, pitch of every frame and number of the speaker.

    hop: samples from one cluster to the next; the pitch has 20 ms.
    """

    labels: Mapping[str, np.ndarray]
    pitch: Mapping[str, np.ndarray] = field(default_factory=dict)
    speakers: Mapping[str, int | str] = field(default_factory=dict)
    num_speakers: int = 0
    hop: int = TARGET_HOP

    @classmethod
    def read(cls, folder: Path, name: str, config: PretrainConfig, train: bool) -> "Targets | None":
        """The targets that a configuration needs, from DUMP_DIR/targets, or None; speakers are needed of the training set only.

        name: of the clusters. UserError: a missing or damaged file.
        """
        if not config.uses_clusters:
            return None
        path = folder / f"{name}.safetensors"
        labels = targets_on_disk(path)
        pitch = targets_on_disk(folder / "pitch.safetensors") if config.uses_pitch else {}
        classes, speakers = read_speakers(folder / "speakers.json") if config.uses_speakers and train else (0, {})
        return cls(labels, pitch, speakers, classes, read_hop(path))


@dataclass(frozen=True)
class Item:
    """One utterance: labels (frames,), empty without targets; pitch (frames,) or None; speaker, -1 if unknown."""

    utt: str
    frames: int
    labels: np.ndarray
    pitch: np.ndarray | None
    speaker: int
    source: Utterance


class WaveformSet:
    """The utterances of a data directory in the order of their ids; with targets, only those that have one."""

    def __init__(self, data_dir: Path, targets: Targets | None, config: PretrainConfig, train: bool):
        self.config, self.train = config, train
        if config.uses_pitch and not (targets and targets.pitch):
            raise UserError(f"{data_dir}: no pitch: run stage 2 with the configuration of a ProgRE model")
        if targets and config.model_conf.hop % targets.hop:
            rates = f"a frame every {1000 * targets.hop / RATE:g} ms, the model every {1000 * config.model_conf.hop / RATE:g} ms"
            raise UserError(f"{data_dir}: the clusters have {rates}: make clusters of MFCC, or of a model with as many frames (stage 2)")
        self.targets, self.data, self.num_classes = targets, KaldiDir.on_disk(data_dir), config.model_conf.num_classes if targets else 0
        self.channels, self.utts = self.data.channels(), sorted_keys(self.data.utt2spk)
        self.speakers = np.full(len(self.data), -1, np.int32)
        if targets and train:
            classes = joined(self.data.utt2spk, targets.speakers)
            self.speakers = np.fromiter((-1 if number is None else int(number) for _, _, (number,) in classes), np.int32, len(self.data))
        self.seconds = seconds(self.data) if targets is None else np.zeros(0)
        frames = (NO_TARGETS if item is None else item.frames for item in self._every())
        self.frames = np.fromiter(frames, np.int32, len(self.data))
        numbers = np.flatnonzero(self.frames > NO_TARGETS)
        self.items: Sequence[Item] = Items(self._item, self._every, numbers)
        self.frames = self.frames[numbers]
        if not self.items:
            raise UserError(f"{data_dir}: no utterance has targets: run stage 2" if targets else f"{data_dir}: no utterances")

    def _every(self) -> Iterator[Item | None]:
        """All utterances of the directory; None for one that lacks a target."""
        known = (self.targets.labels, self.targets.pitch) if self.targets else ({}, {})
        rows = joined(self.data.utt2spk, *known)
        return (self._made(number, utterance, *row[2]) for number, (utterance, row) in enumerate(zip(self.data.utterances(), rows, strict=True)))

    def _item(self, number: int) -> Item:
        """The utterance with that number in the directory, which has targets."""
        utt = self.utts[number]
        values = (self.targets.labels[utt], self.targets.pitch.get(utt)) if self.targets else (None, None)
        return cast(Item, self._made(number, self.data.utterance(utt, self.channels), *values))

    def _made(self, number: int, utterance: Utterance, labels: np.ndarray | None, pitch: np.ndarray | None) -> Item | None:
        if self.targets is None:
            frames = self.config.model_conf.frames(round(float(self.seconds[number]) * RATE))
            return Item(utterance.id, max(0, frames), np.zeros(0, np.int32), None, -1, utterance)
        if labels is None or (pitch is None and self.config.uses_pitch):
            return None
        hop = self.config.model_conf.hop
        labels, pitch = labels[:: hop // self.targets.hop], None if pitch is None else pitch[:: hop // TARGET_HOP]
        if labels.max(initial=0) >= self.num_classes:
            raise UserError(f"utterance {utterance.id}: cluster {labels.max()}, but model_conf.num_classes={self.num_classes}")
        frames = len(labels) if pitch is None else min(len(labels), len(pitch))
        pitch = None if pitch is None else pitch[:frames]
        return Item(utterance.id, frames, labels[:frames].astype(np.int32), pitch, int(self.speakers[number]), utterance)

    def set_aside(self, report: Path) -> None:
        """Removes utterances that are too short and lists them with the reason in `report`. UserError: none is left."""
        least = max(1, self.config.model_conf.frames(round(self.config.batch.min_seconds * RATE)))
        kept, numbers = self.frames >= least, cast(Items, self.items).numbers
        with atomic_write(report) as stream:
            reason = f"shorter than batch.min_seconds={self.config.batch.min_seconds}"
            stream.writelines(f"{self.utts[number]}\t{reason}\n" for number in numbers[~kept])
        if not kept.all():
            log.warning("%d of %d utterances skipped as too short: see %s", int((~kept).sum()), len(kept), report)
        if not kept.any():
            raise UserError(f"all utterances are shorter than batch.min_seconds={self.config.batch.min_seconds}: see {report}")
        self.items, self.frames = Items(self._item, self._every, numbers[kept]), self.frames[kept]

    def fingerprint(self) -> str:
        """A digest of ids, targets and audio; it changes with the data."""
        digest = hashlib.sha256()
        for item in self.items:
            pitch = b"" if item.pitch is None else item.pitch.tobytes()
            audio = audio_digest(item.source.wavs, item.source.channels)
            facts = f"{item.utt} {item.frames} {item.speaker} {audio} {item.source.start} {item.source.end}\n"
            digest.update(facts.encode() + item.labels.tobytes() + pitch)
        return digest.hexdigest()

    def planned_frames(self, epoch: int) -> np.ndarray:
        """Frames of each cropped item."""
        return np.minimum(self.frames, self._longest())

    def crop(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, Item]:
        """Samples (n,) and item, cropped at random (validation: at the end) if longer than batch.max_seconds."""
        item, model = self.items[index], self.config.model_conf
        audio = item.source.audio(RATE)
        if model.normalize:
            audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-5)
        length = min(item.frames, self._longest())
        first = int(rng.integers(item.frames - length + 1)) if self.train else 0
        audio = audio[first * model.hop :][: model.samples(length)]
        if not item.labels.size and len(audio) + model.hop <= model.samples(length):  # resampling may round
            raise UserError(f"utterance {item.utt}: the audio is shorter than in utt2dur: run stage 1 again")
        cut = slice(first, first + length)
        return audio, replace(item, frames=length, labels=item.labels[cut], pitch=None if item.pitch is None else item.pitch[cut])

    def _longest(self) -> int:
        return self.config.model_conf.frames(round(self.config.batch.max_seconds * RATE))


def make_buckets(dataset: WaveformSet) -> list[Bucket]:
    """Padded lengths in frames, each with the number of utterances that fill batch.batch_seconds."""
    batch, model = dataset.config.batch, dataset.config.model_conf
    edges = bucket_edges(dataset.planned_frames(0), batch.buckets)
    return [Bucket(edge, edge, max(1, int(batch.batch_seconds * RATE / model.samples(edge)))) for edge in edges]
