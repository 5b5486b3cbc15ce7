"""References and hypotheses aligned block by block, so that the memory of scoring does not grow with the number of utterances."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from asrlib.score.alignment import Alignment, align
from asrlib.score.conventions import Conventions
from asrlib.score.lattice import FRAGMENT, align_lattice, has_signs, lattice
from asrlib.score.texts import split_units
from asrlib.utils.keyed_lines import joined

BLOCK = 5000  # utterances that are aligned at a time


@dataclass(frozen=True)
class Block:
    """Some utterances: their texts as they were read (a hypothesis may be missing: None), as they are scored, and the alignments of these."""

    utts: list[str]
    read: list[tuple[str, str | None]]
    refs: list[str]
    hyps: list[str]
    alignments: list[Alignment]


@dataclass(frozen=True)
class Pairs:
    """ref, hyp: {utterance: text}, also in files (asrlib.utils.keyed_lines); those of `ref` are scored. unit: "word" or "char"."""

    ref: Mapping[str, str]
    hyp: Mapping[str, str]
    unit: str
    conventions: Conventions

    def blocks(self) -> Iterator[Block]:
        """All utterances in the order of their ids."""
        rows = ((utt, (ref, hyp)) for utt, ref, (hyp,) in joined(self.ref, self.hyp))
        while block := list(islice(rows, BLOCK)):
            yield self._block([utt for utt, _ in block], [texts for _, texts in block])

    def alignments(self, utts: Iterable[str] | None = None) -> Iterator[tuple[str, Alignment]]:
        """(utterance, alignment) of all utterances, or of these in their order."""
        blocks = self.blocks() if utts is None else self._chosen(iter(utts))
        return (row for block in blocks for row in zip(block.utts, block.alignments, strict=True))

    def _chosen(self, utts: Iterator[str]) -> Iterator[Block]:
        while block := list(islice(utts, BLOCK)):
            yield self._block(block, [(self.ref[utt], self.hyp.get(utt)) for utt in block])

    def _block(self, utts: list[str], read: list[tuple[str, str | None]]) -> Block:
        refs, hyps = [self.conventions.apply(ref) for ref, _ in read], [self.conventions.apply(hyp or "") for _, hyp in read]
        return Block(utts, read, refs, hyps, self._align(refs, hyps))

    def _align(self, refs: list[str], hyps: list[str]) -> list[Alignment]:
        """The alignments of paired texts; a reference with alternatives or optional words is a lattice."""
        optional, fragments = self.conventions.optional_words, self.conventions.fragments and self.unit == "word"
        aligned = align([split_units(r, self.unit) for r in refs], [split_units(h, self.unit) for h in hyps])
        for k, (ref, hyp) in enumerate(zip(refs, hyps, strict=True)):
            if has_signs(ref, optional, fragments) or (fragments and any(map(FRAGMENT.fullmatch, hyp.split()))):
                aligned[k] = align_lattice(lattice(ref, self.unit, optional), split_units(hyp, self.unit), fragments)
        return aligned
