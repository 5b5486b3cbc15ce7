"""References with alternatives and optional words, counted as NIST sclite does.

Signs (https://github.com/usnistgov/SCTK, doc/infmts.htm and options.htm):
{ A / B C }  alternatives, which may contain others; the one with the least cost counts;
@            the empty word, also an alternative;
(A)          with `optional` (sclite -D): a word that may be missing; it then counts as correct;
A-, -A       with `fragments` (sclite -F): a part of a word; any word that begins (ends) so is correct.

A reference is a lattice whose arcs are words. The weights and the order of equal steps are those of asrlib.score.alignment; in addition an optional
word may be missing for 2, the empty word for next to nothing. Among paths of equal cost through nested alternatives sclite sometimes takes another.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from asrlib.score.alignment import GAP, SUBSTITUTION, Alignment
from asrlib.text.tags import characters, split_tags

EMPTY = "@"
OPTIONAL_GAP, EMPTY_GAP = 2, 0.001
OPTIONAL = re.compile(r"\((.+)\)")
FRAGMENT = re.compile(r"-.+|.+-")
Sequence_ = list["str | list[Sequence_]"]  # words and alternatives


@dataclass(frozen=True)
class Arc:
    """A unit of the reference; before: indices of the arcs that may precede it, 0 is the start."""

    unit: str
    before: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Lattice:
    """arcs in an order in which each follows those before it; arcs[0] is the start. ends: the arcs that may be last."""

    arcs: list[Arc]
    ends: tuple[int, ...]


def has_signs(text: str, optional: bool = False, fragments: bool = False) -> bool:
    """Whether a reference has signs that need `align_lattice`."""
    words = text.split()
    return (
        EMPTY in words
        or ("{" in text and any(isinstance(item, list) for item in alternatives(text) or ()))
        or (optional and any(map(OPTIONAL.fullmatch, words)))
        or (fragments and any(map(FRAGMENT.fullmatch, words)))
    )


def alternatives(text: str) -> Sequence_ | None:
    """The words and alternatives of a reference; None if its braces do not match. A tag ({breath}) is a word."""
    tokens: list[str] = []
    for part, is_tag in split_tags(text):
        tokens += [part] if is_tag else re.findall(r"[{}]|[^\s{}]+", part)
    stack: list[list[Sequence_]] = [[[]]]
    for token in tokens:
        if token == "{":
            stack.append([[]])
        elif token == "/" and len(stack) > 1:
            stack[-1].append([])
        elif token == "}":
            if len(stack) == 1:
                return None
            choice = stack.pop()
            stack[-1][-1].append(choice)
        else:
            stack[-1][-1].append(token)
    return stack[0][0] if len(stack) == 1 else None


def lattice(text: str, unit: str = "word", optional: bool = False) -> Lattice:
    """The lattice of a reference; unit: "word" or "char". Braces that do not match are words."""
    arcs = [Arc("", ())]

    def extend(sequence: Sequence_, ends: tuple[int, ...]) -> tuple[int, ...]:
        for item in sequence:
            if isinstance(item, list):
                ends = tuple(dict.fromkeys(end for choice in item for end in extend(choice, ends)))
                continue
            found = OPTIONAL.fullmatch(item) if optional else None
            word = found[1] if found else item
            for piece in [word] if unit == "word" else characters(word, ""):
                arcs.append(Arc(piece, ends, found is not None))
                ends = (len(arcs) - 1,)
        return ends

    sequence = alternatives(text)
    return Lattice(arcs, extend(list(text.split()) if sequence is None else sequence, (0,)))


def align_lattice(reference: Lattice, hyp: Sequence[str], fragments: bool = False) -> Alignment:
    """The path of the reference and its alignment with the hypothesis that cost least.

    Op O: an optional word that the hypothesis leaves out. The alignment's reference has the words of the path without empty ones.
    """
    arcs, columns = reference.arcs, len(hyp) + 1
    cost: list[list[float]] = [[GAP * j for j in range(columns)]]
    back: list[list[tuple[int, int]]] = [[(0, j - 1) for j in range(columns)]]
    for arc in arcs[1:]:
        index, gap = len(cost), EMPTY_GAP if arc.unit == EMPTY else OPTIONAL_GAP if arc.optional else GAP
        row: list[float] = []
        steps: list[tuple[int, int]] = []
        for j in range(columns):
            deletion = min(((cost[a][j] + gap, i, (a, j)) for i, a in enumerate(arc.before)), default=(0.0, 0, (0, 0)))
            best, step = deletion[0], deletion[2]
            if j:
                insertion = row[j - 1] + GAP
                if insertion <= best:
                    best, step = insertion, (index, j - 1)
                change = 0 if _equal(arc.unit, hyp[j - 1], fragments) else SUBSTITUTION
                diagonal = min((cost[a][j - 1] + change, i, (a, j - 1)) for i, a in enumerate(arc.before))
                if diagonal[0] <= best:
                    best, step = diagonal[0], diagonal[2]
            row.append(best)
            steps.append(step)
        cost.append(row)
        back.append(steps)
    end = min(reference.ends, key=lambda a: cost[a][-1])
    return _trace(arcs, hyp, back, end, fragments)


def _equal(unit: str, word: str, fragments: bool) -> bool:
    """Whether two words are equal, or one is a fragment of the other."""
    for part, whole in ((unit, word), (word, unit)) if fragments else ():
        if FRAGMENT.fullmatch(part):
            return whole.endswith(part[1:]) if part[0] == "-" else whole.startswith(part[:-1])
    return unit == word


def _trace(arcs: list[Arc], hyp: Sequence[str], back: list[list[tuple[int, int]]], end: int, fragments: bool) -> Alignment:
    ops, ref = [], []
    a, j = end, len(hyp)
    while a or j:
        arc, (before, column) = arcs[a], back[a][j]
        if before == a or arc.unit == EMPTY:
            ops += ["I"] if column < j else []
        else:
            ref.append(arc.unit)
            missing = "O" if arc.optional else "D"
            ops.append(missing if column == j else "C" if _equal(arc.unit, hyp[column], fragments) else "S")
        a, j = before, column
    return Alignment(ref[::-1], hyp, "".join(reversed(ops)))
