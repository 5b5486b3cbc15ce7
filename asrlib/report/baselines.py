"""Comparison of a system with baselines: error rates, differences and paired bootstrap intervals on every set that both decoded."""

import json
from collections.abc import Sequence
from pathlib import Path

from asrlib.score.compare import compare
from asrlib.score.conventions import Conventions
from asrlib.score.error_rate import Score, score
from asrlib.score.texts import read_texts
from asrlib.utils.errors import UserError

COLUMNS = ("dataset", "unit", "baseline", "its Err", "Err", "difference", "95 % interval", "relative")


def baseline_rows(exp_dir: Path, baselines: Sequence[Path]) -> list[list[str]]:
    """Rows with COLUMNS; a "difference" below 0 means that exp_dir is better. UserError: a baseline has not decoded a set of exp_dir."""
    rows = []
    for result in sorted(exp_dir.glob("decode_*/*/score_[cw]er/result.json")):
        place = result.relative_to(exp_dir)
        own, unit = read_score(result)
        if unit == "word" and not (own.ref_units > 1).any():
            continue  # the language is written without spaces, so that every sentence is one word
        for baseline in baselines:
            if not (baseline / place).is_file():
                raise UserError(f"{baseline / place} is missing: run stage 6 for {baseline.name}, too")
            other, _ = read_score(baseline / place)
            rows.append(compared(place.parent.parent.as_posix(), unit, baseline.name, other, own))
    return rows


def siblings(exp_dir: Path) -> list[Path]:
    """Experiments in the folder of exp_dir that have decoded and scored all its sets."""
    own = [result.relative_to(exp_dir) for result in exp_dir.glob("decode_*/*/score_[cw]er/result.json")]
    return sorted(other for other in exp_dir.parent.iterdir() if other != exp_dir and own and all((other / place).is_file() for place in own))


def compared(dataset: str, unit: str, name: str, other: Score, own: Score, digits: int = 1) -> list[str]:
    """A row with COLUMNS: the score `own` against the score `other` of the baseline `name`."""
    difference = compare(other, own)
    before, after = other.counts.error_rate, own.counts.error_rate
    if difference.delta is None or difference.ci95 is None:
        return [dataset, unit, name, "-", "-", "-", "-", "-"]
    low, high = difference.ci95
    relative = f"{100 * difference.delta / before:+.1f} %" if before else "-"
    rates = [f"{before:.{digits}f}", f"{after:.{digits}f}", f"{difference.delta:+.{digits}f}", f"{low:+.{digits}f} to {high:+.{digits}f}"]
    return [dataset, unit, name, *rates, relative]


def read_score(result: Path) -> tuple[Score, str]:
    """The score of a result.json, computed again from the text files that it names. UserError: the file names none."""
    facts = json.loads(result.read_text(encoding="utf-8"))
    try:
        ref, hyp, unit = facts["ref"], facts["hyp"], facts["unit"]
    except KeyError as error:
        raise UserError(f"{result} has no key {error}: run the score command again") from None
    refs, hyps = read_texts(ref, hyp)
    return score(refs, hyps, unit, allow_extra=True, conventions=Conventions.of(facts.get("conventions", {}))), unit
