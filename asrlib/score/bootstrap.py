"""Bootstrap intervals of pooled error rates, after M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR
performance evaluation", ICASSP 2004."""

import math
from collections.abc import Sequence

import numpy as np

REPLICATIONS = 10_000
MANY = 10_000  # utterances from which on it is drawn how often each different row occurs: the same distribution, at a cost that hardly grows
DIFFERENT = 20_000  # different rows from which on blocks of utterances are drawn
NUMBERS = 4_000_000  # that are drawn at once, to bound the memory


def resample(columns: np.ndarray, groups: Sequence[str] | np.ndarray | None = None, replications: int = REPLICATIONS, seed: int = 0) -> np.ndarray:
    """Column sums of `replications` samples drawn with replacement.

    columns: (utterances, k), for example errors and reference units of each utterance. groups: a label per utterance (its speaker); if given,
    whole groups are drawn, because the utterances of a speaker are not independent. Very many different rows are first added up to MANY blocks of
    utterances drawn at random: the variance of the sums stays the same, and its estimate, from MANY blocks, within 2 %. Returns (replications, k).
    """
    columns = columns.astype(np.int64)
    if groups is not None:
        columns = _added(columns, np.unique(np.asarray(groups), return_inverse=True)[1])
    rng = np.random.default_rng(seed)
    if len(columns) >= MANY:
        rows, counts = _different(columns)
        if len(rows) <= DIFFERENT:
            shares, chunk = counts / len(columns), max(1, NUMBERS // len(rows))
            return np.concatenate([rng.multinomial(len(columns), shares, size=size) @ rows for size in _parts(replications, chunk)])
        columns = _added(columns, rng.permutation(len(columns)) % MANY)
    chunk = max(1, NUMBERS // 2 // len(columns))
    return np.concatenate([columns[rng.integers(len(columns), size=(size, len(columns)))].sum(axis=1) for size in _parts(replications, chunk)])


def _added(columns: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The sums of the rows of each group; groups: its number for each row."""
    return np.stack([np.bincount(groups, column) for column in columns.T], axis=1).astype(np.int64)  # sums below 2**53 are exact


def _different(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows, sorted, and how often each occurs; columns: of numbers from 0."""
    sizes = columns.max(axis=0) + 1
    if math.prod(sizes.tolist()) >= 1 << 62:
        return np.unique(columns, axis=0, return_counts=True)
    keys, counts = np.unique(np.ravel_multi_index(tuple(columns.T), tuple(sizes)), return_counts=True)
    return np.stack(np.unravel_index(keys, tuple(sizes)), axis=1), counts


def _parts(total: int, size: int) -> list[int]:
    return [min(size, total - begin) for begin in range(0, total, size)]


def interval(values: np.ndarray) -> list[float] | None:
    """The central 95 % of `values`, ignoring undefined ones (samples without a reference unit); None if all are undefined."""
    values = values[np.isfinite(values)]
    return [float(v) for v in np.percentile(values, [2.5, 97.5])] if len(values) else None


def percent(errors: np.ndarray, units: np.ndarray) -> np.ndarray:
    """100 errors / units, nan where units is 0."""
    return np.divide(100.0 * errors, units, out=np.full(len(errors), np.nan), where=units > 0)
