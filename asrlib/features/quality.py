"""Agreement of clusters with phones or characters (Hsu et al. 2021, section 5.2)."""

import numpy as np


def even_alignment(units: list[str], frames: int) -> list[str]:
    """A unit for every frame; all units are equally long: an approximation without a real alignment."""
    return [units[min(len(units) - 1, i * len(units) // frames)] for i in range(frames)] if units else []


def cluster_quality(pairs: list[tuple[np.ndarray, list[str]]]) -> dict[str, float]:
    """(clusters, units) per frame of each utterance -> unit purity, cluster purity, PNMI (all in [0, 1]), clusters used and their perplexity.

    Unit purity: share of frames whose unit is the most frequent one in their cluster. Cluster purity: the reverse. PNMI: mutual information
    divided by the entropy of the units, that is, the share of the uncertainty about the unit that the cluster removes.
    """
    numbers: dict[str, int] = {}
    rows, columns = [], []
    for clusters, units in pairs:
        length = min(len(clusters), len(units))
        rows.append(np.asarray(clusters[:length]))
        columns.append(np.array([numbers.setdefault(unit, len(numbers)) for unit in units[:length]], int))
    clusters, units = np.concatenate(rows), np.concatenate(columns)
    counts = np.zeros((clusters.max(initial=0) + 1, max(1, len(numbers))))
    np.add.at(counts, (clusters, units), 1)
    joint = counts / max(1, counts.sum())
    of_cluster, of_unit = joint.sum(1), joint.sum(0)
    inside = joint > 0
    information = float((joint[inside] * np.log(joint[inside] / np.outer(of_cluster, of_unit)[inside])).sum())
    entropy = _entropy(of_unit)
    return {
        "unit_purity": float(joint.max(1).sum()),
        "cluster_purity": float(joint.max(0).sum()),
        "pnmi": information / entropy if entropy else 0.0,
        "clusters_used": int((of_cluster > 0).sum()),
        "cluster_perplexity": float(np.exp(_entropy(of_cluster))),
    }


def _entropy(shares: np.ndarray) -> float:
    return -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
