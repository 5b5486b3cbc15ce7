"""k-means clusters of frames: learnt on a sample of a corpus, then assigned to all its frames.

The settings are HuBERT's (fairseq's simple_kmeans): mini-batches of 10,000, k-means++, no reassignment.
"""

import warnings
from pathlib import Path

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from asrlib.utils.arrays import read_safetensors, save_arrays
from asrlib.utils.errors import UserError


def learn(frames: np.ndarray, clusters: int, seed: int = 0, inits: int = 20) -> np.ndarray:
    """Centroids (clusters, dim) float32 of frames (n, dim). UserError: fewer frames than clusters."""
    if len(frames) < clusters:
        raise UserError(f"{len(frames)} frames are too few for {clusters} clusters: raise --portion or lower --num_clusters")
    model = MiniBatchKMeans(
        clusters,
        init="k-means++",
        max_iter=100,
        batch_size=10_000,
        tol=0.0,
        max_no_improvement=100,
        n_init=inits,
        reassignment_ratio=0.0,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about fewer distinct points than clusters, which the quality table shows
        model.fit(frames)
    return model.cluster_centers_.astype(np.float32)


def nearest(frames: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The index of the nearest centroid for every frame: (n, dim), (clusters, dim) -> (n,) int32."""
    return np.argmin((centroids * centroids).sum(1) - 2 * frames @ centroids.T, axis=1).astype(np.int32)


def save_centroids(path: Path, centroids: np.ndarray, **facts: str) -> None:
    save_arrays(path, {"centroids": centroids}, facts)


def load_centroids(path: Path) -> np.ndarray:
    """UserError: no such file, or not a centroid file."""
    arrays = read_safetensors(path)
    if set(arrays) != {"centroids"}:
        raise UserError(f"{path}: not a centroid file: give one that make_targets wrote")
    return arrays["centroids"]
