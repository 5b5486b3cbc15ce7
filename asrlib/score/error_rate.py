"""Word and character error rates, pooled over the reference set."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from asrlib.score.alignment import Alignment, align
from asrlib.score.bootstrap import interval, percent, resample
from asrlib.score.conventions import Conventions
from asrlib.score.differences import warn_of_differences
from asrlib.score.lattice import FRAGMENT, align_lattice, has_signs, lattice
from asrlib.score.texts import split_units
from asrlib.utils.characters import same_letters
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)


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
        alignments = list(alignments)
        c, s, d, i, o = (sum(a.ops.count(op) for a in alignments) for op in "CSDIO")
        c += o
        return cls(len(alignments), c + s + d, c, s, d, i, sum(a.errors > 0 for a in alignments))

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
class Score:
    """The score of one set. ci95: [low, high] in percent, None with fewer than two utterances or speakers to sample from.
    refs: the texts of the references as they were scored."""

    unit: str
    counts: Counts
    alignments: dict[str, Alignment]
    ci95: list[float] | None
    ci95_over: str
    missing: list[str]
    extra: list[str]
    empty: list[str]
    conventions: Conventions = Conventions()
    refs: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)

    def by_speaker(self) -> dict[str, Counts]:
        """The counts of each speaker, sorted; empty if no speakers were given."""
        groups: dict[str, list[Alignment]] = {}
        for utterance, speaker in self.speakers.items():
            groups.setdefault(speaker, []).append(self.alignments[utterance])
        return {speaker: Counts.of(groups[speaker]) for speaker in sorted(groups)}

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
    ref: dict[str, str],
    hyp: dict[str, str],
    unit: str,
    speakers: dict[str, str] | None = None,
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
    without_speaker = [u for u in ref if speakers and u not in speakers]
    if without_speaker:
        raise UserError(f"utt2spk lacks {len(without_speaker)} utterances of the reference, the first is {without_speaker[0]!r}: add their lines")
    ids = sorted(ref)
    refs = {u: conventions.apply(ref[u]) for u in ids}
    aligned = _align(list(refs.values()), [conventions.apply(hyp.get(u, "")) for u in ids], unit, conventions)
    alignments = dict(zip(ids, aligned, strict=True))
    warn_of_differences(ref, {u: hyp[u] for u in ids if u in hyp}, alignments, unit, conventions)
    speakers = {u: speakers[u] for u in ids} if speakers else {}
    ci95 = _ci95(aligned, [speakers[u] for u in ids] if ci95_over == "speaker" else None, seed)
    return Score(unit, Counts.of(aligned), alignments, ci95, ci95_over, missing, extra, empty, conventions, refs, speakers)


def _align(refs: list[str], hyps: list[str], unit: str, conventions: Conventions) -> list[Alignment]:
    """The alignments of paired texts; a reference with alternatives or optional words is a lattice."""
    optional, fragments = conventions.optional_words, conventions.fragments and unit == "word"
    aligned = align([split_units(r, unit) for r in refs], [split_units(h, unit) for h in hyps])
    for k, (ref, hyp) in enumerate(zip(refs, hyps, strict=True)):
        if has_signs(ref, optional, fragments) or (fragments and any(map(FRAGMENT.fullmatch, hyp.split()))):
            aligned[k] = align_lattice(lattice(ref, unit, optional), split_units(hyp, unit), fragments)
    return aligned


def check_ids(ref: dict[str, str], hyp: dict[str, str], allow_extra: bool = False) -> tuple[list[str], list[str], list[str]]:
    """(missing, extra, empty) ids, sorted, with a warning for each kind. UserError: extra ids that are not allowed, an empty reference set."""
    if not ref:
        raise UserError("the reference file has no utterances: check --ref")
    missing, extra = sorted(ref.keys() - hyp.keys()), sorted(hyp.keys() - ref.keys())
    empty = sorted(u for u in ref if u in hyp and ref[u] and not hyp[u])
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


def _ci95(aligned: list[Alignment], groups: list[str] | None, seed: int) -> list[float] | None:
    if len(aligned if groups is None else set(groups)) < 2:
        return None
    sums = resample(np.array([(a.errors, len(a.ref)) for a in aligned]), groups, seed=seed)
    return interval(percent(sums[:, 0], sums[:, 1]))
