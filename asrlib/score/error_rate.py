"""Word and character error rates, pooled over the reference set."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asrlib.score.alignment import Alignment, align
from asrlib.score.bootstrap import interval, percent, resample
from asrlib.score.conventions import Conventions
from asrlib.score.differences import Differences
from asrlib.score.pairs import Pairs
from asrlib.score.texts import split_units
from asrlib.utils.characters import same_letters
from asrlib.utils.errors import UserError
from asrlib.utils.keyed_lines import joined, sorted_keys
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def numbers(alignment: Alignment) -> tuple[int, int, int, int]:
    """Correct units (with optional words that are missing), substitutions, deletions, insertions."""
    ops = alignment.ops
    return ops.count("C") + ops.count("O"), ops.count("S"), ops.count("D"), ops.count("I")


@dataclass(frozen=True)
class Counts:
    """Counts summed over utterances. Rates are percentages, None where the divisor is 0."""

    utterances: int
    ref_units: int
    correct: int
    substitutions: int
    deletions: int
    insertions: int
    wrong_utterances: int

    @classmethod
    def of(cls, alignments: Iterable[Alignment]) -> "Counts":
        return cls.sum(np.array([numbers(a) for a in alignments], np.int64).reshape(-1, 4))

    @classmethod
    def sum(cls, rows: np.ndarray) -> "Counts":
        """rows: (utterances, 4), the `numbers` of each."""
        c, s, d, i = rows.sum(axis=0, dtype=np.int64).tolist()
        return cls(len(rows), c + s + d, c, s, d, i, int(rows[:, 1:].any(axis=1).sum()))

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def error_rate(self) -> float | None:
        """100 errors / reference units, above 100 with many insertions; None for a reference without any unit."""
        return 100.0 * self.errors / self.ref_units if self.ref_units else None

    @property
    def sentence_error(self) -> float | None:
        return 100.0 * self.wrong_utterances / self.utterances if self.utterances else None


@dataclass(frozen=True)
class Speakers:
    """names: sorted; of_utterance: the number of each utterance's speaker."""

    names: list[str]
    of_utterance: np.ndarray


class Numbers:
    """What has the counts of each utterance: numbers (utterances, 4), the `numbers` of each."""

    numbers: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Of each utterance."""
        return self.numbers[:, 1:].sum(axis=1)

    @property
    def ref_units(self) -> np.ndarray:
        """Of each utterance; those of the path that was taken through alternatives."""
        return self.numbers[:, :3].sum(axis=1)


@dataclass(frozen=True)
class Score(Numbers):
    """The score of one set. ci95: [low, high] in percent, None with fewer than two utterances or speakers to sample from.

    numbers: (utterances, 4), the `numbers` of each, in the order of `utts`, the sorted ids. The alignments are not kept: `pairs` makes them again.
    digest: of the references as they were scored. speakers: None if they are not known.
    """

    unit: str
    counts: Counts
    numbers: np.ndarray
    utts: Sequence[str]
    pairs: Pairs
    ci95: list[float] | None
    ci95_over: str
    missing: list[str]
    extra: list[str]
    empty: list[str]
    digest: str
    speakers: Speakers | None = None

    @property
    def conventions(self) -> Conventions:
        return self.pairs.conventions

    def by_speaker(self) -> dict[str, Counts]:
        """The counts of each speaker, sorted; empty if no speakers were given."""
        if self.speakers is None:
            return {}
        names, group = self.speakers.names, self.speakers.of_utterance
        order = np.argsort(group, kind="stable")
        ends = np.searchsorted(group[order], np.arange(len(names) + 1))
        return {name: Counts.sum(self.numbers[order[ends[k] : ends[k + 1]]]) for k, name in enumerate(names)}

    def summary(self) -> dict:
        """The contents of result.json."""
        c = self.counts
        return {
            "unit": self.unit,
            "utterances": c.utterances,
            "ref_units": c.ref_units,
            "correct": c.correct,
            "substitutions": c.substitutions,
            "deletions": c.deletions,
            "insertions": c.insertions,
            "error_rate": c.error_rate,
            "ci95": self.ci95,
            "ci95_over": self.ci95_over,
            "wrong_utterances": c.wrong_utterances,
            "sentence_error": c.sentence_error,
            "missing": len(self.missing),
            "extra": len(self.extra),
            "empty": len(self.empty),
        } | ({"conventions": facts} if (facts := self.conventions.facts()) else {})


def count_errors(refs: Iterable[str], hyps: Iterable[str], unit: str = "word") -> Counts:
    """Pooled counts of paired texts, for validation during training. unit: "word" or "char" (spaces removed)."""
    return Counts.of(align([split_units(r, unit) for r in refs], [split_units(h, unit) for h in hyps]))


def score(
    ref: Mapping[str, str],
    hyp: Mapping[str, str],
    unit: str,
    speakers: Mapping[str, str] | None = None,
    allow_extra: bool = False,
    ci95_over: str = "utterance",
    seed: int = 0,
    conventions: Conventions = Conventions(),  # noqa: B008 (frozen)
) -> Score:
    """Scores every utterance of `ref` ({id: text}) against the hypothesis of the same id, in any order.

    A missing hypothesis counts as all deletions and gives a warning. A hypothesis without a reference is not scored: it raises UserError,
    or with `allow_extra` gives a warning. An empty reference is scored too: its hypothesis is all insertions. speakers: {id: speaker} for
    at least the ids of `ref`. ci95_over: "utterance" or "speaker", what the bootstrap resamples. conventions: how texts are made alike; warnings
    tell of differences that are likely no errors of recognition.
    """
    missing, extra, empty = check_ids(ref, hyp, allow_extra)
    if ci95_over == "speaker" and not speakers:
        raise UserError("--ci95_over speaker needs an utt2spk file: give --utt2spk")
    known = _speakers(ref, speakers) if speakers else None
    pairs = Pairs(ref, hyp, unit, conventions)
    differences, digest, rows, end = Differences(unit, conventions), hashlib.sha256(), np.zeros((len(ref), 4), np.int32), 0
    for block in pairs.blocks():
        begin, end = end, end + len(block.utts)
        rows[begin:end] = [numbers(alignment) for alignment in block.alignments]
        differences.add(block)
        digest.update("".join(f"{utt}\t{text}\n" for utt, text in zip(block.utts, block.refs, strict=True)).encode())
    differences.warn()
    ci95 = _ci95(rows, known.of_utterance if known and ci95_over == "speaker" else None, seed)
    utts = sorted_keys(ref)
    return Score(unit, Counts.sum(rows), rows, utts, pairs, ci95, ci95_over, missing, extra, empty, digest.hexdigest(), known)


def _speakers(ref: Mapping[str, str], speakers: Mapping[str, str]) -> Speakers:
    found, places, lacking = np.zeros(len(ref), np.int32), dict[str, int](), []
    for number, (utt, _, (speaker,)) in enumerate(joined(ref, speakers)):
        if speaker is None:
            lacking.append(utt)
        else:
            found[number] = places.setdefault(speaker, len(places))
    if lacking:
        raise UserError(f"utt2spk lacks {len(lacking)} utterances of the reference, the first is {lacking[0]!r}: add their lines")
    names = sorted(places)
    ranks = np.zeros(len(names), np.int32)
    ranks[[places[name] for name in names]] = np.arange(len(names))
    return Speakers(names, ranks[found])


def check_ids(ref: Mapping[str, str], hyp: Mapping[str, str], allow_extra: bool = False) -> tuple[list[str], list[str], list[str]]:
    """(missing, extra, empty) ids, sorted, with a warning for each kind. UserError: extra ids that are not allowed, an empty reference set."""
    if not ref:
        raise UserError("the reference file has no utterances: check --ref")
    missing, empty = list[str](), list[str]()
    for utt, text, (found,) in joined(ref, hyp):
        if found is None:
            missing.append(utt)
        elif text and not found:
            empty.append(utt)
    all_known = len(hyp) == len(ref) - len(missing)
    extra = [] if all_known else [utt for utt, _, (text,) in joined(hyp, ref) if text is None]
    if extra and not allow_extra:
        remedy = "check that both files belong to the same set, or give --allow_extra true"
        raise UserError(f"{len(extra)} hypotheses have no reference, the first is {extra[0]!r}{same_letters(extra[0], missing)}: {remedy}")
    for ids, what in (
        (missing, "have NO HYPOTHESIS and are scored as deletions"),
        (extra, "have a hypothesis but no reference and are ignored"),
        (empty, "have an empty hypothesis"),
    ):
        if ids:
            log.warning("%d utterances %s: %s%s", len(ids), what, " ".join(ids[:5]), " ..." if len(ids) > 5 else "")
    return missing, extra, empty


def _ci95(rows: np.ndarray, groups: np.ndarray | None, seed: int) -> list[float] | None:
    if (len(rows) if groups is None else len(np.unique(groups))) < 2:
        return None
    sums = resample(np.stack([rows[:, 1:].sum(axis=1), rows[:, :3].sum(axis=1)], axis=1), groups, seed=seed)
    return interval(percent(sums[:, 0], sums[:, 1]))
