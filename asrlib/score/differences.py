"""Warnings that a reference and its hypotheses are written in different ways, which is counted as errors."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from asrlib.score.alignment import align
from asrlib.score.conventions import FOLDS, Conventions
from asrlib.score.lattice import FRAGMENT, OPTIONAL, alternatives
from asrlib.score.pairs import Block
from asrlib.score.texts import split_units
from asrlib.text.tags import find_tags
from asrlib.utils.log import get_logger

log = get_logger(__name__)


@dataclass
class _Told:
    """How many of something, and the utterance of the first."""

    number: int = 0
    first: str = ""

    def add(self, utt: str, number: int = 1) -> None:
        self.number, self.first = self.number + number, self.first or utt


class Differences:
    """Collects what in the texts is likely no error of recognition; `warn` logs it, each with the option that leaves it out of the count."""

    def __init__(self, unit: str, conventions: Conventions):
        self.unit, self.conventions = unit, conventions
        self.errors, self.decomposed = 0, [0, 0]
        self.folds = {name: _Told() for name in FOLDS if name not in conventions.fold}
        self.tags = Counter[str](), Counter[str]()
        self.optional, self.fragments, self.broken, self.signs = _Told(), _Told(), _Told(), _Told()

    def add(self, block: Block) -> None:
        """Looks through the texts and alignments of a block."""
        self.errors += sum(one.errors for one in block.alignments)
        self._count_folds(block)
        for utt, (ref, hyp) in zip(block.utts, block.read, strict=True):
            self._count_reference(utt, ref)
            self._count_hypothesis(utt, hyp or "")
        for kind, texts in enumerate((block.refs, block.hyps)):
            self.decomposed[kind] += sum(not unicodedata.is_normalized("NFC", read[kind] or "") for read in block.read)
            self.tags[kind].update(tag for text in texts for tag in find_tags(text))

    def _count_reference(self, utt: str, text: str) -> None:
        if ("{" in text or "}" in text) and alternatives(text) is None:
            self.broken.add(utt)
        if "(" in text and any(map(OPTIONAL.fullmatch, text.split())):
            self.optional.add(utt)
        if "-" in text and any(map(FRAGMENT.fullmatch, text.split())):
            self.fragments.add(utt)

    def _count_hypothesis(self, utt: str, text: str) -> None:
        if ("{" in text or "}" in text or "@" in text) and {"{", "}", "@"} & set(text.split()):
            self.signs.add(utt)

    def _count_folds(self, block: Block) -> None:
        """Scores the utterances again in which a folded unit of one side is one of the other."""
        wrong = [
            (utt, one, set(one.ref) - set(one.hyp), set(one.hyp) - set(one.ref))
            for utt, one in zip(block.utts, block.alignments, strict=True)
            if one.errors
        ]
        for name, told in self.folds.items():

            def folded(units: Iterable, fold=FOLDS[name]) -> list[str]:
                return [piece for u in units for piece in split_units(fold(str(u)), self.unit)]

            pairs = [(utt, one) for utt, one, left, right in wrong if left and right and not set(folded(left)).isdisjoint(folded(right))]
            again = align([folded(one.ref) for _, one in pairs], [folded(one.hyp) for _, one in pairs])
            for (utt, one), less in zip(pairs, again, strict=True):
                if less.errors < one.errors:
                    told.add(utt, one.errors - less.errors)

    def warn(self) -> None:
        """Logs what was found."""
        if any(self.decomposed):
            what = "%d references and %d hypotheses have decomposed characters (not NFC): all are compared in NFC, which costs equal text nothing"
            log.warning(what, *self.decomposed)
        for name, told in self.folds.items():
            if told.number:
                what = "%d of %d errors are differences of %s alone, the first in %s: --fold %s leaves them out of the count"
                log.warning(what, told.number, self.errors, name, told.first, name)
        self._warn_of_signs()
        self._warn_of_tags()

    def _warn_of_signs(self) -> None:
        bracketed = "with their brackets: --optional_words true lets them be missing"
        whole = "as whole words: --fragments true accepts any word that begins so"
        found = [
            (self.conventions.optional_words, self.optional, "optional words in round brackets", bracketed),
            (self.conventions.fragments, self.fragments, "parts of words with a hyphen", whole),
        ]
        for chosen, told, what, how in found:
            if told.number and not chosen:
                log.warning("%d references have %s, the first is %s: they are scored %s", told.number, what, told.first, how)
        if self.broken.number:
            what = "%d references have a brace without its pair, the first is %s: braces are scored as words, write { A / B }"
            log.warning(what, self.broken.number, self.broken.first)
        if self.signs.number:
            what = "%d hypotheses have signs of alternatives ({ / } @), the first is %s: they are scored as words"
            log.warning(what, self.signs.number, self.signs.first)

    def _warn_of_tags(self) -> None:
        for name, counts in zip(("references", "hypotheses"), self.tags, strict=True):
            tags = [(tag, number) for tag, number in counts.most_common() if not OPTIONAL.fullmatch(tag)]  # _warn_of_signs tells of these
            if tags:
                listed = ", ".join(f"{tag} {number} times" for tag, number in tags[:5])
                what = "the %s have %d tags, each scored as one %s (%s): --leave_out 'TAG TAG' or --leave_out all leaves them out"
                log.warning(what, name, sum(number for _, number in tags), "word" if self.unit == "word" else "character", listed)
