"""n-gram language models from text: interpolated modified Kneser-Ney smoothing, written as an ARPA file.

S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling", 1998. The highest order uses the counts of the
text; lower orders count the distinct units to the left (n-grams that start with <s> keep their counts, because nothing precedes <s>).
Each order estimates its discounts D1, D2, D3+ from its own counts of counts. Unigrams are interpolated with the uniform distribution,
which also gives the probability of <unk>.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

BOS, EOS, UNK = "<s>", "</s>", "<unk>"
# Discounts for a text that is too small or too regular to estimate them: those of KenLM's lmplz --discount_fallback.
FALLBACK = (0.5, 1.0, 1.5)

Gram = tuple[str, ...]


@dataclass(frozen=True)
class Ngram:
    """log10 probabilities and back-off weights; probs[n - 1] holds the n-grams of order n. discounts: (D1, D2, D3+) by order."""

    probs: list[dict[Gram, float]]
    backoffs: list[dict[Gram, float]]
    discounts: list[tuple[float, float, float]]


def estimate(sentences: Iterable[Sequence[str]], order: int) -> Ngram:
    """Estimates a model of `order` from sentences of units (words or characters); <unk> in a sentence is the unknown unit.

    UserError: a text without units, or with <s> or </s> in it.
    """
    counts = _adjusted_counts(sentences, order)
    discounts = [_discounts(table.values()) for table in counts]
    probs: list[dict[Gram, float]] = []
    backoffs: list[dict[Gram, float]] = []
    uniform = 1.0 / len({*counts[0], (UNK,)})  # the units, </s> and <unk>
    lower: dict[Gram, float] = {}
    for n, (table, discount) in enumerate(zip(counts, discounts, strict=True), 1):
        totals: dict[Gram, int] = defaultdict(int)
        held_out: dict[Gram, float] = defaultdict(float)  # mass that the discounts take from each context
        for gram, count in table.items():
            totals[gram[:-1]] += count
            held_out[gram[:-1]] += discount[min(count, 3) - 1]
        gamma = {context: held_out[context] / totals[context] for context in totals}
        lower = {
            gram: (count - discount[min(count, 3) - 1]) / totals[gram[:-1]] + gamma[gram[:-1]] * (lower[gram[1:]] if n > 1 else uniform)
            for gram, count in table.items()
        }
        if n == 1:
            lower.setdefault((UNK,), gamma[()] * uniform)
        else:
            backoffs.append({context: math.log10(g) for context, g in gamma.items()})
        probs.append({gram: math.log10(p) for gram, p in lower.items()})
    probs[0][(BOS,)] = -99.0  # never predicted
    return Ngram(probs, [*backoffs, {}], discounts)


def _adjusted_counts(sentences: Iterable[Sequence[str]], order: int) -> list[Counter[Gram]]:
    counts: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for sentence in sentences:
        padded = (BOS, *sentence, EOS)
        if clash := {BOS, EOS}.intersection(sentence):
            raise UserError(f"the text contains {clash.pop()}, which is reserved in n-gram models: remove it")
        counts[-1].update(padded[i : i + order] for i in range(len(padded) - order + 1))
        for n in range(2, order):  # n-grams at the start of a sentence; the others come from the next higher order
            counts[n - 1].update([padded[:n]] if len(padded) >= n else [])
    for n in range(order - 1, 0, -1):
        counts[n - 1].update(Counter(gram[1:] for gram in counts[n]))
    counts[0].pop((BOS,), None)
    if set(counts[0]) <= {(EOS,)}:
        raise UserError("the text contains no words: give a text file with transcripts")
    return counts


def _discounts(counts: Iterable[int]) -> tuple[float, float, float]:
    """Chen and Goodman's D1, D2, D3+ from the number of n-grams that occur once to four times."""
    seen = Counter(count for count in counts if count <= 4)
    n1, n2, n3, n4 = (seen[k] for k in range(1, 5))
    if not n1 or not n2 or not n3:
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < d < k for k, d in enumerate(found, 1)) else FALLBACK


def write_arpa(model: Ngram, path: str | Path) -> None:
    """Writes the model in ARPA format, n-grams sorted."""
    with atomic_write(path) as stream:
        stream.write("\\data\\\n" + "".join(f"ngram {n}={len(grams)}\n" for n, grams in enumerate(model.probs, 1)))
        for n, (grams, backoffs) in enumerate(zip(model.probs, model.backoffs, strict=True), 1):
            stream.write(f"\n\\{n}-grams:\n")
            for gram in sorted(grams):
                backoff = f"\t{backoffs[gram]:.7g}" if gram in backoffs else ""
                stream.write(f"{grams[gram]:.7g}\t{' '.join(gram)}{backoff}\n")
        stream.write("\n\\end\\\n")
