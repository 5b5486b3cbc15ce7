"""Pretraining targets of a Kaldi directory, on all cores or on a cluster: clusters and pitch of every frame, speaker of every utterance.

Files in DUMP_DIR/targets: NAME.safetensors (utterance -> clusters (frames,) uint16; metadata: the samples from one frame to the next, "hop"),
pitch.safetensors (utterance -> pitch (frames,) float32, every 20 ms),
speakers.json ({"classes": N, "utterances": {utterance: number}}). Utterances that cannot be read are passed over, logged, and listed with the reason
in NAME.bad_utts.txt beside them; the functions return them, {utterance: reason}.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from asrlib.corpora.faults import BAD_UTTS, pass_over
from asrlib.corpora.kaldi_dir import Utterance
from asrlib.features.kmeans import nearest
from asrlib.features.mfcc import DIM, FRAME, HOP, RATE, mfcc_frames
from asrlib.features.pitch import pitch
from asrlib.features.speakers import speaker_clusters, speaker_labels, voice
from asrlib.utils.array_file import open_arrays
from asrlib.utils.arrays import Arrays, read_metadata, read_safetensors, save_arrays
from asrlib.utils.backend import Backend
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.keyed_lines import stored
from asrlib.utils.log import get_logger
from asrlib.utils.memory import GB
from asrlib.utils.parallel import run_jobs, split_evenly

log = get_logger(__name__)

FLOAT = 4  # bytes
BLOCK = 1 << 20  # characters read at once
NUMBER = re.compile(r'("(?:[^"\\]|\\.)*"): (\d+)(?=[,}])')
Bad = dict[str, str]  # utterance that cannot be read -> reason
FrameFunction = Callable[[np.ndarray, str], np.ndarray]  # samples, name of the utterance -> (frames, dim)


class Frames(Protocol):
    """The kind of frames to cluster: a small object that is sent to a job, where `load` returns the function that computes the frames."""

    @property
    def dim(self) -> int: ...

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""

    def load(self) -> FrameFunction: ...


@dataclass(frozen=True)
class MfccFrames:
    """MFCC with first and second differences; cmvn: normalise each utterance, so that clusters depend less on voice and room (not published)."""

    cmvn: bool = False

    @property
    def dim(self) -> int:
        """Values of a frame."""
        return DIM

    @property
    def hop(self) -> int:
        """See Frames."""
        return HOP

    def load(self) -> FrameFunction:
        return normalised_frames if self.cmvn else mfcc_frames


def normalised_frames(audio: np.ndarray, where: str) -> np.ndarray:
    """mfcc_frames, each column normalised to mean 0 and deviation 1."""
    frames = mfcc_frames(audio, where)
    return (frames - frames.mean(0)) / (frames.std(0) + 1e-5)


class Jobs:
    """How jobs run: number of parallel jobs, where, folder of the logs."""

    def __init__(self, nj: int, backend: Backend, log_dir: Path):
        self.nj, self.backend, self.log_dir = max(1, nj), backend, log_dir

    def map(self, function: Callable, utterances: Sequence[Utterance], *arguments, desc: str) -> list:
        parts = [part for part in split_evenly(utterances, self.nj) if part]
        return run_jobs(function, [(part, *arguments) for part in parts], self.log_dir, nj=self.nj, backend=self.backend, desc=desc)


def sample_frames(utterances: Sequence[Utterance], frames: Frames, portion: float, max_gb: float, seed: int, jobs: Jobs) -> np.ndarray:
    """(n, dim): the frames of a random portion of the utterances, or as many of them, drawn at random, as fit into max_gb. UserError: no frame."""
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(utterances))[: max(1, round(portion * len(utterances)))])
    picked = [utterances[i] for i in chosen]
    parts = jobs.map(_sample, picked, frames, max_gb * GB / FLOAT / frames.dim / len(picked), seed, desc="frames for k-means")
    if not any(len(part) for part, *_ in parts):
        why = next((reason for *_, bad in parts for reason in bad.values()), "")
        lack = f"can be read, {why}" if why else f"is as long as a frame ({FRAME} samples)"
        raise UserError(f"none of the {len(picked)} utterances drawn for k-means {lack}: give a larger --portion")
    found, whole = sum(len(part) for part, *_ in parts), sum(count for _, count, _ in parts)
    if found < whole:
        log.warning("k-means learns from %d of %d frames: raise --max_gb %g for more (a portion of %g)", found, whole, max_gb, portion)
    return np.concatenate([part for part, *_ in parts if len(part)])


def make_clusters(utterances: Sequence[Utterance], frames: Frames, centroids: np.ndarray, path: Path, jobs: Jobs) -> tuple[Arrays, Bad]:
    """Writes and returns the clusters of every utterance; utterances shorter than a frame are skipped and listed in a file beside `path`."""
    parts = jobs.map(_clusters, utterances, frames, centroids, desc="clusters")
    labels, bad = _joined(parts, path)
    save_arrays(path, labels, {"hop": str(frames.hop)})
    return labels, bad


def make_pitch(utterances: Sequence[Utterance], path: Path, jobs: Jobs) -> tuple[Arrays, Bad]:
    """Writes and returns the pitch of every utterance; logs how many have no voiced frame."""
    values, bad = _joined(jobs.map(_pitch, utterances, desc="pitch"), path)
    silent = [utt for utt, value in values.items() if not value.any()]
    if silent:
        log.warning("%d of %d utterances have no voiced frame, the first is %s: their pitch is 0", len(silent), len(values), silent[0])
    save_arrays(path, values)
    return values, bad


def make_speakers(utterances: Sequence[Utterance], kind: str, clusters: int, seed: int, path: Path, jobs: Jobs) -> tuple[int, Bad]:
    """Writes the speaker class of every utterance; returns the number of classes. kind: "labels" (utt2spk) or "clusters" (of voices)."""
    bad: Bad = {}
    if kind == "labels":
        numbers = speaker_labels({utterance.id: utterance.speaker for utterance in utterances})
    else:
        voices, bad = _joined(jobs.map(_voices, utterances, desc="voices"), path)
        numbers = speaker_clusters(voices, clusters, seed)
    classes = max(numbers.values()) + 1
    with atomic_write(path) as stream:
        json.dump({"classes": classes, "utterances": numbers}, stream)
    return classes, bad


def read_targets(path: Path) -> Arrays:
    """Utterance -> array. UserError: the file is missing or damaged."""
    if not path.is_file():
        raise UserError(f"{path} is missing: run stage 2")
    return read_safetensors(path)


def targets_on_disk(path: Path) -> Mapping[str, np.ndarray]:
    """`read_targets` with arrays that stay on disk until they are asked for."""
    if not path.is_file():
        raise UserError(f"{path} is missing: run stage 2")
    return open_arrays(path)


def read_hop(path: Path) -> int:
    """Samples from one frame of the clusters in a file to the next; those of earlier versions have 20 ms."""
    return int(read_metadata(path).get("hop", HOP))


def read_speakers(path: Path) -> tuple[int, Mapping[str, str]]:
    """Number of classes, and the class of every utterance as text, in a temporary file. UserError: the file is missing or damaged."""
    if not path.is_file():
        raise UserError(f"{path} is missing: run stage 2")
    entries = _numbers(path)
    name, classes = next(entries, ("", "0"))
    if name != "classes":
        raise UserError(f"{path} is damaged: run stage 2 again")
    return int(classes), stored(entries)


def _numbers(path: Path) -> Iterator[tuple[str, str]]:
    """The names and numbers of a file of make_speakers, in order, without reading it as a whole."""
    rest = ""
    with open(path, encoding="utf-8") as stream:
        while block := stream.read(BLOCK):
            rest, end = rest + block, 0
            for found in NUMBER.finditer(rest):
                yield json.loads(found[1]), found[2]
                end = found.end()
            rest = rest[end:]
    if rest.strip() != "}}":
        raise UserError(f"{path} is damaged: run stage 2 again")


def bad_listing(path: Path) -> Path:
    """The list of the utterances that cannot be read, beside the targets in `path`."""
    return path.with_name(f"{path.stem}.{BAD_UTTS}")


class _Part(NamedTuple):
    """What a job has made of its utterances, the ids of those shorter than a frame, and those that cannot be read."""

    arrays: Arrays
    short: list[str]
    bad: Bad


def _joined(parts: list[_Part], path: Path) -> tuple[Arrays, Bad]:
    bad = {utt: reason for part in parts for utt, reason in part.bad.items()}
    pass_over(bad, bad_listing(path))
    short, listing = [utt for part in parts for utt in part.short], path.with_name(f"{path.stem}.too_short.txt")
    with atomic_write(listing) as stream:
        stream.writelines(f"{utt}\n" for utt in short)
    if short:
        log.warning("skipped %d utterances shorter than a frame, the first is %s: see %s", len(short), short[0], listing)
    if not any(part.arrays for part in parts):
        if bad and not short:
            raise UserError(f"no utterance can be read, {next(iter(bad.values()))}")
        raise UserError(f"no utterance that can be read is as long as a frame ({FRAME} samples): see {listing}")
    return {utt: array for part in parts for utt, array in part.arrays.items()}, bad


def _each(utterances: Sequence[Utterance], compute: Callable[[np.ndarray, str], np.ndarray]) -> _Part:
    """compute() of every utterance that can be read and is at least a frame long."""
    found = _Part({}, [], {})
    for utterance in utterances:
        try:
            audio = utterance.audio(RATE)
        except UserError as error:
            found.bad[utterance.id] = str(error)
            continue
        if len(audio) < FRAME:
            found.short.append(utterance.id)
        else:
            found.arrays[utterance.id] = compute(audio, f"utterance {utterance.id}")
    return found


def _sample(utterances: Sequence[Utterance], frames: Frames, each: float, seed: int) -> tuple[np.ndarray, int, Bad]:
    """At most `each` frames of every utterance, the number of all their frames, and what cannot be read."""
    function, whole = frames.load(), 0
    rng = np.random.default_rng((seed, len(utterances)))

    def some(audio: np.ndarray, where: str) -> np.ndarray:
        nonlocal whole
        matrix = function(audio, where)
        whole += len(matrix)
        return matrix if len(matrix) <= each else matrix[np.sort(rng.permutation(len(matrix))[: max(1, round(each))])]

    found = _each(utterances, some)
    return np.concatenate([*found.arrays.values()]).astype(np.float32) if found.arrays else np.empty((0, 0), np.float32), whole, found.bad


def _clusters(utterances: Sequence[Utterance], frames: Frames, centroids: np.ndarray) -> _Part:
    function = frames.load()
    return _each(utterances, lambda audio, where: nearest(function(audio, where), centroids).astype(np.uint16))


def _pitch(utterances: Sequence[Utterance]) -> _Part:
    return _each(utterances, lambda audio, where: pitch(audio))


def _voices(utterances: Sequence[Utterance]) -> _Part:
    return _each(utterances, lambda audio, where: voice(audio))
