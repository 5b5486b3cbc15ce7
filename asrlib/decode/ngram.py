"""n-gram language models from text: interpolated modified Kneser-Ney smoothing, written as an ARPA file.

S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling", 1998. The highest order uses the counts of the
text; lower orders count the distinct units to the left (n-grams that start with <s> keep their counts, because nothing precedes <s>).
Each order estimates its discounts D1, D2, D3+ from its own counts of counts. Unigrams are interpolated with the uniform distribution,
which also gives the probability of <unk>.

Units are numbered in the order of their text, so that sorted n-grams of numbers are sorted n-grams of units. N-grams are counted in sorted runs on
disk, and every order is a few columns there (asrlib.decode.grams): the memory is that of the units and of PART n-grams.
"""

import math
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path

import numpy as np

from asrlib.decode import grams
from asrlib.decode.grams import Column, Keys, Runs, counted
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

BOS, EOS, UNK = "<s>", "</s>", "<unk>"
# Discounts for a text that is too small or too regular to estimate them: those of KenLM's lmplz --discount_fallback.
FALLBACK = (0.5, 1.0, 1.5)

Gram = tuple[str, ...]


class Table:
    """The n-grams of an order: keys, counts, probabilities; contexts: (n - 1)-grams before them, gammas: the back-off weights of these."""

    def __init__(self, folder: Path, n: int):
        self.n = n
        self.keys, self.counts, self.probs, self.contexts, self.gammas = (
            Column(folder / f"{n}.{name}") for name in ("keys", "counts", "probs", "contexts", "gammas")
        )


class Ngram:
    """A model in a temporary folder. units: in order; tables: by order; discounts: (D1, D2, D3+) by order."""

    def __init__(self, folder: tempfile.TemporaryDirectory, units: list[str], keys: Keys, tables: list[Table]):
        self.folder, self.units, self.keys, self.tables = folder, units, keys, tables
        self.discounts: list[tuple[float, float, float]] = []

    @property
    def sizes(self) -> list[int]:
        """Numbers of n-grams by order; <s> is one."""
        return [table.keys.length + (table.n == 1) for table in self.tables]

    def rows(self, n: int) -> Iterator[tuple[Gram, float, float | None]]:
        """n-gram, log10 of its probability (-99 for <s>, which is never predicted) and of its back-off weight, None without one; sorted."""
        table, above = self.tables[n - 1], self.tables[n] if n < len(self.tables) else None
        contexts = np.zeros(0) if above is None else above.contexts.mapped()
        bos = self.units.index(BOS) if n == 1 else -1
        size = max(1, table.keys.length) if n == 1 else grams.PART
        for begin in range(0, table.keys.length, size):
            keys, probs = (column.read(begin, begin + size) for column in (table.keys, table.probs))
            if n == 1:
                place = int(np.searchsorted(keys, start := self.keys.pack(np.array([[bos]]))[0]))
                keys, probs = np.insert(keys, place, start), np.insert(probs, place, 1e-99)
            places = np.searchsorted(contexts, keys)
            weights = np.ones(len(keys)) if above is None else above.gammas.mapped()[np.minimum(places, len(contexts) - 1)]
            known = np.zeros(len(keys), bool) if above is None else contexts[np.minimum(places, len(contexts) - 1)] == keys
            columns = (self.keys.unpack(keys, n).tolist(), probs.tolist(), weights.tolist(), known.tolist())
            for numbers, prob, weight, has_weight in zip(*columns, strict=True):
                yield tuple(self.units[number] for number in numbers), math.log10(prob), math.log10(weight) if has_weight else None

    @cached_property
    def probs(self) -> list[dict[Gram, float]]:
        """log10 probabilities by order, of a model that fits into memory."""
        return [{gram: prob for gram, prob, _ in self.rows(table.n)} for table in self.tables]

    @cached_property
    def backoffs(self) -> list[dict[Gram, float]]:
        """log10 back-off weights by order, of a model that fits into memory."""
        return [{gram: weight for gram, _, weight in self.rows(table.n) if weight is not None} for table in self.tables]


def estimate(sentences: Iterable[Sequence[str]], order: int) -> Ngram:
    """Estimates a model of `order` from sentences of units (words or characters); <unk> in a sentence is the unknown unit.

    UserError: a text without units, or with <s> or </s> in it.
    """
    folder = tempfile.TemporaryDirectory(prefix="asrlib.")
    units, text = _numbered(sentences, Path(folder.name))
    keys = Keys(len(units), order)
    model = Ngram(folder, units, keys, [Table(Path(folder.name), n) for n in range(1, order + 1)])
    _count(text, model, units.index(BOS), units.index(EOS), order)
    for table in model.tables:
        model.discounts.append(_discounts(table.counts))
        _smooth(table, model)
    return model


def _numbered(sentences: Iterable[Sequence[str]], folder: Path) -> tuple[list[str], Column]:
    """The units in order, with <s>, </s> and <unk>, and the text as their numbers, <s> and </s> around each sentence."""
    found, text = {unit: number for number, unit in enumerate((BOS, EOS, UNK))}, Column(folder / "found")
    part = array("i")
    for sentence in sentences:
        if clash := {BOS, EOS}.intersection(sentence):
            raise UserError(f"the text contains {clash.pop()}, which is reserved in n-gram models: remove it")
        part.append(0)
        part.extend([found.setdefault(unit, len(found)) for unit in sentence])
        part.append(1)
        if len(part) > grams.PART:
            text.append(np.array(part, np.int32))
            part = array("i")
    text.append(np.array(part, np.int32))
    if len(found) == 3 and not (text.mapped() == 2).any():
        raise UserError("the text contains no words: give a text file with transcripts")
    units = sorted(found)
    ranks = np.empty(len(units), np.int32)
    ranks[[found[unit] for unit in units]] = np.arange(len(units))
    ranked = Column(folder / "text")
    for begin in range(0, text.length, grams.PART):
        ranked.append(ranks[text.read(begin, begin + grams.PART)])
    text.remove()
    return units, ranked


def _count(text: Column, model: Ngram, bos: int, eos: int, order: int) -> None:
    """Fills keys and counts: of the highest order those of the text, of lower ones the numbers of units to the left."""
    runs = {n: Runs(Path(model.folder.name), f"run{n}") for n in range(1, order + 1)}
    for begin in range(0, text.length, grams.PART):
        part = text.read(begin, begin + grams.PART + order - 1)
        for n in range(
            2 if order > 1 else 1, order + 1
        ):  # of lower orders only the n-grams at the start of a sentence; the others come from the next
            rows = np.lib.stride_tricks.sliding_window_view(part, n)[: grams.PART] if len(part) >= n else np.zeros((0, n), np.int32)
            rows = rows[(rows[:, :-1] != eos).all(axis=1) & ((rows[:, 0] == bos) if n < order else True)]
            runs[n].add(*counted(model.keys.pack(rows)))
    text.remove()
    for n in range(order, 0, -1):
        table, start = model.tables[n - 1], model.keys.pack(np.array([[bos]]))[0]
        for keys, counts in runs[n].merged():
            if n == 1:
                keys, counts = keys[keys != start], counts[keys != start]
            else:
                runs[n - 1].add(*counted(model.keys.suffix(keys, n)))
            table.keys.append(keys)
            table.counts.append(counts)


def _discounts(counts: Column) -> tuple[float, float, float]:
    """Chen and Goodman's D1, D2, D3+ from the number of n-grams that occur once to four times."""
    seen = sum(np.bincount(np.minimum(counts.read(begin, begin + grams.PART), 5), minlength=6) for begin in range(0, counts.length, grams.PART))
    n1, n2, n3, n4 = np.asarray(seen)[1:5].tolist()
    if not n1 or not n2 or not n3:
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < d < k for k, d in enumerate(found, 1)) else FALLBACK


def _smooth(table: Table, model: Ngram) -> None:
    """Fills probabilities, contexts and back-off weights from the counts and the next lower order."""
    discount, lower = np.array(model.discounts[-1]), model.tables[table.n - 2]
    known, below = (lower.keys.mapped(), lower.probs.mapped()) if table.n > 1 else (np.zeros(0), np.zeros(0))
    unk = model.keys.pack(np.array([[model.units.index(UNK)]]))[0]
    uniform = 1.0 / len({*table.keys.read().tolist(), unk.item()}) if table.n == 1 else 0.0  # of the units, </s> and <unk>
    for keys, counts, contexts in _contexts(table, model.keys):
        first = np.flatnonzero(np.concatenate([[True], contexts[1:] != contexts[:-1]]))
        sizes = np.diff([*first, len(keys)])
        taken = discount[np.minimum(counts, 3) - 1]  # the mass that the discounts take from each context
        totals = np.add.reduceat(counts, first)
        gamma = np.add.reduceat(taken, first) / totals
        shorter = below[np.searchsorted(known, model.keys.suffix(keys, table.n))] if table.n > 1 else uniform
        probs = (counts - taken) / np.repeat(totals, sizes) + np.repeat(gamma, sizes) * shorter
        if table.n == 1 and unk not in keys:
            place = int(np.searchsorted(keys, unk))
            probs = np.insert(probs, place, gamma[0] * uniform)
            table.keys.remove()
            table.keys = Column(table.keys.path)
            table.keys.append(np.insert(keys, place, unk))
        table.probs.append(probs)
        table.contexts.append(contexts[first])
        table.gammas.append(gamma)


def _contexts(table: Table, keys: Keys) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Keys, counts and contexts of whole contexts, about PART n-grams at a time; all unigrams at once."""
    begin, total = 0, table.keys.length
    size = total if table.n == 1 else grams.PART
    while begin < total:
        for size in count(size, grams.PART):  # noqa: B020 (a context may have more n-grams)
            found = table.keys.read(begin, begin + size)
            contexts = keys.prefix(found, table.n) if table.n > 1 else np.zeros(len(found))
            end = len(found) if begin + size >= total else int(np.searchsorted(contexts, contexts[-1]))
            if end:
                break
        yield found[:end], table.counts.read(begin, begin + end), contexts[:end]
        begin, size = begin + end, grams.PART


def write_arpa(model: Ngram, path: str | Path) -> None:
    """Writes the model in ARPA format, n-grams sorted."""
    with atomic_write(path) as stream:
        stream.write("\\data\\\n" + "".join(f"ngram {n}={size}\n" for n, size in enumerate(model.sizes, 1)))
        for n in range(1, len(model.tables) + 1):
            stream.write(f"\n\\{n}-grams:\n")
            for gram, prob, weight in model.rows(n):
                stream.write(f"{prob:.7g}\t{' '.join(gram)}" + ("\n" if weight is None else f"\t{weight:.7g}\n"))
        stream.write("\n\\end\\\n")
