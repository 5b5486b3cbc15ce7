"""Clusters as targets of pretraining: learnt on a sample of a Kaldi directory or given, applied to all of it, and compared with its transcripts.

Files beside NAME.safetensors (asrlib.features.targets): NAME.centroids.safetensors, NAME.quality.json.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrlib.corpora.kaldi_dir import Utterance
from asrlib.features.kmeans import learn, load_centroids, save_centroids
from asrlib.features.quality import cluster_quality, even_alignment
from asrlib.features.targets import Bad, Frames, Jobs, make_clusters, sample_frames
from asrlib.utils.arrays import Arrays
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Learning:
    """k-means on a portion of the utterances, begun `inits` times; their frames take at most max_gb. seed: of sampling and clustering.

    type: of the frames, "mfcc" or "layer"; it is kept with the centroids.
    """

    type: str
    num_clusters: int = 100
    portion: float = 0.1
    max_gb: float = 4.0
    inits: int = 20
    seed: int = 1


def cluster_targets(
    utterances: Sequence[Utterance], frames: Frames, path: Path, how: Learning | Path, jobs: Jobs
) -> tuple[Arrays, dict[str, float], Bad]:
    """Writes the clusters of every utterance to `path`. how: learns them, or the file of centroids that are applied.

    Returns utterance -> clusters (frames,) uint16, their quality ({} without transcripts), and what cannot be read. UserError: see learn and
    load_centroids.
    """
    centroids = load_centroids(how) if isinstance(how, Path) else _learn(utterances, frames, path.with_suffix(".centroids.safetensors"), how, jobs)
    labels, bad = make_clusters(utterances, frames, centroids, path, jobs)
    return labels, _write_quality(utterances, labels, path.with_suffix(".quality.json")), bad


def _learn(utterances: Sequence[Utterance], frames: Frames, path: Path, how: Learning, jobs: Jobs) -> np.ndarray:
    sample = sample_frames(utterances, frames, how.portion, how.max_gb, how.seed, jobs)
    centroids = learn(sample, how.num_clusters, how.seed, how.inits)
    save_centroids(path, centroids, type=how.type, seed=str(how.seed))
    log.info("%d clusters of %d frames -> %s", len(centroids), len(sample), path)
    return centroids


def _write_quality(utterances: Sequence[Utterance], labels: Arrays, path: Path) -> dict[str, float]:
    """cluster_quality of the characters of the transcripts, spread evenly over the frames; nothing is written without transcripts."""
    texts = {utterance.id: utterance.text.replace(" ", "") for utterance in utterances if utterance.text and utterance.id in labels}
    if not texts:
        return {}
    quality = cluster_quality([(labels[utt], even_alignment(list(text), len(labels[utt]))) for utt, text in texts.items()])
    with atomic_write(path) as stream:
        json.dump(quality | {"alignment": "even split of the characters (approximate)", "utterances": len(texts)}, stream, indent=1)
    return quality
