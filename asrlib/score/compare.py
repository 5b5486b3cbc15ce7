"""Is system B better than system A? Paired bootstrap of their error rates (Bisani and Ney 2004) and the utterances that changed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asrlib.score.bootstrap import interval, percent, resample
from asrlib.score.error_rate import Counts, Score
from asrlib.score.files import render
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write


@dataclass(frozen=True)
class Comparison:
    """delta: error rate of B minus that of A, in percent (below 0: B is better). probability_of_improvement: share of the bootstrap samples in
    which B makes fewer errors than A. These and the interval are None for a reference without units or with fewer than two utterances."""

    a: Score
    b: Score
    delta: float | None
    ci95: list[float] | None
    probability_of_improvement: float | None

    @cached_property
    def _changed(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the utterances that differ, and errors of B minus errors of A, in the order of `changed`."""
        changes = self.b.errors - self.a.errors
        order = np.argsort(-changes, kind="stable")
        order = order[changes[order] != 0]
        return order, changes[order]

    def changed(self) -> Iterator[tuple[str, int]]:
        """(utterance, errors of B minus errors of A) where they differ, from the worst regression to the best improvement."""
        return ((self.a.utts[int(number)], int(change)) for number, change in zip(*self._changed, strict=True))

    @property
    def worse_and_better(self) -> tuple[int, int]:
        """Numbers of the utterances that got worse and better."""
        changes = self._changed[1]
        return int((changes > 0).sum()), int((changes < 0).sum())

    def summary(self) -> dict:
        """The contents of comparison.json."""
        changed = list(self.changed())
        return {
            "unit": self.a.unit,
            "utterances": self.a.counts.utterances,
            "ref_units": self.a.counts.ref_units,
            "error_rate_a": self.a.counts.error_rate,
            "error_rate_b": self.b.counts.error_rate,
            "delta": self.delta,
            "delta_ci95": self.ci95,
            "ci95_over": self.a.ci95_over,
            "probability_of_improvement": self.probability_of_improvement,
            "regressions": {u: d for u, d in changed if d > 0},
            "improvements": {u: d for u, d in reversed(changed) if d < 0},
        }


def compare(a: Score, b: Score, seed: int = 0) -> Comparison:
    """Compares two scores of one reference; every bootstrap sample has the same utterances (or speakers) of both."""
    if a.unit != b.unit or a.digest != b.digest:
        raise UserError("the two systems were not scored against the same reference: score both against one reference file")
    if a.counts.error_rate is None or b.counts.error_rate is None or a.ci95 is None:
        return Comparison(a, b, None, None, None)
    groups = a.speakers.of_utterance if a.speakers and a.ci95_over == "speaker" else None
    return Comparison(a, b, *paired((a.errors, a.ref_units), (b.errors, b.ref_units), groups, seed))


def paired(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], groups: np.ndarray | None = None, seed: int = 0
) -> tuple[float, list[float] | None, float]:
    """Error rate of B minus that of A in percent, its 95 % interval, and the share of samples in which B makes fewer errors.

    a, b: errors and reference units of the same utterances, which have units; groups: the speaker of each, if whole speakers are drawn.
    """
    sums = resample(np.stack([a[0], b[0], a[1], b[1]], axis=1), groups, seed=seed)
    delta = percent(sums[:, 1], sums[:, 3]) - percent(sums[:, 0], sums[:, 2])  # alternatives of a reference differ in length
    better = float(np.mean(sums[:, 1] * sums[:, 2] < sums[:, 0] * sums[:, 3]))
    before, after = (100.0 * int(side[0].sum()) / int(side[1].sum()) for side in (a, b))
    return after - before, interval(delta), better


def write_comparison(comparison: Comparison, out: str | Path, **facts: str) -> str:
    """Writes comparison.txt (the summary and every changed utterance) and comparison.json into `out`; returns the summary's lines."""
    out = Path(out)
    text = summary_text(comparison)
    with atomic_write(out / "comparison.txt") as stream:
        stream.write(text)
        # the same utterances three times, each read block by block
        sides = [side.pairs.alignments(utterance for utterance, _ in comparison.changed()) for side in (comparison.a, comparison.b)]
        for (utterance, change), (_, a), (_, b) in zip(comparison.changed(), *sides, strict=True):
            stream.write(f"\n{'REGRESSION' if change > 0 else 'IMPROVEMENT'} {change:+d} errors\nA: {render(utterance, a)}B: {render(utterance, b)}")
    with atomic_write(out / "comparison.json") as stream:
        json.dump(comparison.summary() | facts, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
    return text


def summary_text(comparison: Comparison) -> str:
    """The summary for the terminal, a few lines."""

    def line(name: str, counts: Counts) -> str:
        rate = "undefined" if counts.error_rate is None else f"{counts.error_rate:.2f} %"
        return (
            f"{name}: {rate} [ {counts.errors} / {counts.ref_units}, {counts.insertions} ins, {counts.deletions} del, {counts.substitutions} sub ]\n"
        )

    text = line("A", comparison.a.counts) + line("B", comparison.b.counts)
    if comparison.ci95:
        low, high = comparison.ci95
        text += f"B - A: {comparison.delta:+.2f}, 95 % interval {low:+.2f} to {high:+.2f} (paired bootstrap over {comparison.a.ci95_over}s)\n"
        text += f"probability that B improves on A: {comparison.probability_of_improvement:.4f}\n"
    worse, better = comparison.worse_and_better
    return text + f"{worse} utterances got worse, {better} better\n"
