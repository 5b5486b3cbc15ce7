"""Warnings that a reference and its hypotheses are written in different ways, which is counted as errors."""

import unicodedata
from collections.abc import Mapping, Sequence

from asrlib.score.alignment import Alignment, align
from asrlib.score.conventions import FOLDS, Conventions
from asrlib.score.lattice import FRAGMENT, OPTIONAL, alternatives
from asrlib.score.texts import split_units
from asrlib.text.tags import count_tags
from asrlib.utils.log import get_logger

log = get_logger(__name__)

Texts = Mapping[str, str]


def warn_of_differences(ref: Texts, hyp: Texts, scored: Mapping[str, Alignment], unit: str, conventions: Conventions) -> None:
    """Logs what in the texts is likely no error of recognition, each with the option that leaves it out of the count.

    ref, hyp: {utterance: text} as read; scored: the alignments of these texts.
    """
    _warn_of_forms(ref, hyp)
    _warn_of_folds(scored, unit, conventions)
    _warn_of_signs(ref, hyp, conventions)
    _warn_of_tags(ref, hyp, unit, conventions)


def _warn_of_forms(ref: Texts, hyp: Texts) -> None:
    decomposed = [sum(not unicodedata.is_normalized("NFC", text) for text in texts.values()) for texts in (ref, hyp)]
    if any(decomposed):
        what = "%d references and %d hypotheses have decomposed characters (not NFC): all are compared in NFC, which costs equal text nothing"
        log.warning(what, *decomposed)


def _warn_of_folds(scored: Mapping[str, Alignment], unit: str, conventions: Conventions) -> None:
    """Scores the utterances again in which a folded unit of one side is one of the other."""
    for name, fold in FOLDS.items():
        if name in conventions.fold:
            continue

        def folded(units: Sequence, fold=fold) -> list[str]:
            return [piece for u in units for piece in split_units(fold(str(u)), unit)]

        pairs = []
        for utt, one in scored.items():
            left, right = set(one.ref) - set(one.hyp), set(one.hyp) - set(one.ref)
            if left and right and not set(folded(list(left))).isdisjoint(folded(list(right))):
                pairs.append((utt, one))
        again = align([folded(one.ref) for _, one in pairs], [folded(one.hyp) for _, one in pairs])
        fewer = [(utt, one.errors - less.errors) for (utt, one), less in zip(pairs, again, strict=True) if less.errors < one.errors]
        if fewer:
            errors = sum(one.errors for one in scored.values())
            what = "%d of %d errors are differences of %s alone, the first in %s: --fold %s leaves them out of the count"
            log.warning(what, sum(n for _, n in fewer), errors, name, fewer[0][0], name)


def _warn_of_tags(ref: Texts, hyp: Texts, unit: str, conventions: Conventions) -> None:
    for name, texts in (("references", ref), ("hypotheses", hyp)):
        counts, _ = count_tags({utt: conventions.apply(text) for utt, text in texts.items()})
        tags = [(tag, number) for tag, number in counts.most_common() if not OPTIONAL.fullmatch(tag)]  # _warn_of_signs tells of these
        if tags:
            listed = ", ".join(f"{tag} {number} times" for tag, number in tags[:5])
            what = "the %s have %d tags, each scored as one %s (%s): --leave_out 'TAG TAG' or --leave_out all leaves them out"
            log.warning(what, name, sum(number for _, number in tags), "word" if unit == "word" else "character", listed)


def _warn_of_signs(ref: Texts, hyp: Texts, conventions: Conventions) -> None:
    words = {utt: text.split() for utt, text in ref.items()}
    found = [
        (conventions.optional_words, OPTIONAL, "optional words in round brackets", "with their brackets: --optional_words true lets them be missing"),
        (conventions.fragments, FRAGMENT, "parts of words with a hyphen", "as whole words: --fragments true accepts any word that begins so"),
    ]
    for chosen, pattern, what, how in found:
        utts = [utt for utt in words if not chosen and any(map(pattern.fullmatch, words[utt]))]
        if utts:
            log.warning("%d references have %s, the first is %s: they are scored %s", len(utts), what, utts[0], how)
    if broken := [utt for utt, text in ref.items() if alternatives(text) is None]:
        what = "%d references have a brace without its pair, the first is %s: braces are scored as words, write { A / B }"
        log.warning(what, len(broken), broken[0])
    if signs := [utt for utt, text in hyp.items() if {"{", "}", "@"} & set(text.split())]:
        log.warning("%d hypotheses have signs of alternatives ({ / } @), the first is %s: they are scored as words", len(signs), signs[0])
