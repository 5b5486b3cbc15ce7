"""Bootstrap intervals of pooled error rates, after M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR
performance evaluation", ICASSP 2004."""

from collections.abc import Sequence

import numpy as np

REPLICATIONS = 10_000
MANY = 10_000  # utterances from which on it is drawn how often each different row occurs: the same distribution, at a cost that hardly grows


def resample(columns: np.ndarray, groups: Sequence[str] | None = None, replications: int = REPLICATIONS, seed: int = 0) -> np.ndarray:
    """Column sums of `replications` samples drawn with replacement.

    columns: (utterances, k), for example errors and reference units of each utterance. groups: a label per utterance (its speaker); if given,
    whole groups are drawn, because the utterances of a speaker are not independent. Returns (replications, k).
    """
    if groups is not None:
        _, inverse = np.unique(np.asarray(groups), return_inverse=True)
        grouped = np.zeros((inverse.max() + 1, columns.shape[1]), dtype=columns.dtype)
        np.add.at(grouped, inverse, columns)
        columns = grouped
    rng = np.random.default_rng(seed)
    if len(columns) >= MANY:
        rows, counts = np.unique(columns, axis=0, return_counts=True)
        return rng.multinomial(len(columns), counts / len(columns), size=replications) @ rows
    chunk = max(1, 2_000_000 // len(columns))  # samples drawn at once, to bound the memory
    sums = [
        columns[rng.integers(len(columns), size=(min(chunk, replications - start), len(columns)))].sum(axis=1)
        for start in range(0, replications, chunk)
    ]
    return np.concatenate(sums)


def interval(values: np.ndarray) -> list[float] | None:
    """The central 95 % of `values`, ignoring undefined ones (samples without a reference unit); None if all are undefined."""
    values = values[np.isfinite(values)]
    return [float(v) for v in np.percentile(values, [2.5, 97.5])] if len(values) else None


def percent(errors: np.ndarray, units: np.ndarray) -> np.ndarray:
    """100 errors / units, nan where units is 0."""
    return np.divide(100.0 * errors, units, out=np.full(len(errors), np.nan), where=units > 0)
