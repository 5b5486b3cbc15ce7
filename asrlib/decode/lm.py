"""n-gram language models for decoding: ARPA or KenLM binary files, read by the KenLM inside flashlight-text."""

import contextlib
import gzip
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from flashlight.lib.text.decoder import LM, LMState
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from asrlib.utils.errors import UserError

LN10 = math.log(10.0)  # KenLM returns log10; alpha and beta apply to natural logarithms
SPECIAL = ("<s>", "</s>", "<unk>", "<UNK>")


def load_kenlm(path: str | Path, units: Sequence[str]) -> KenLM:
    """The model in `path`, which scores indices into `units` (all distinct); unknown units score as <unk>."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such language model: estimate one with make_ngram")
    with _quiet():
        try:
            return KenLM(str(path), Dictionary(list(units)))
        except RuntimeError as error:
            fault = " ".join(str(error).split())
    raise UserError(f"{path}: not a readable ARPA or KenLM binary file: {fault}")


def is_binary(path: str | Path) -> bool:
    """Whether `path` is a KenLM binary rather than an ARPA file."""
    with open(path, "rb") as stream:
        return stream.read(7) == b"mmap lm"


def vocabulary(path: str | Path) -> list[str]:
    """The units of an ARPA file (plain or .gz), without <s>, </s> and <unk>.

    UserError: the file is missing, not an ARPA file, or a KenLM binary, which does not list its words.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such language model: estimate one with make_ngram")
    if is_binary(path):
        raise UserError(f"{path} is a KenLM binary, which does not list its words: also give a lexicon with one word per line")
    try:
        with _open(path) as stream:
            words = [fields[1] for line in _unigrams(stream) if len(fields := line.decode("utf-8").split()) >= 2]
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile):
        raise UserError(f"{path}: not an ARPA file in UTF-8 or a KenLM binary: estimate a model with make_ngram") from None
    if not words:
        raise UserError(f"{path}: not an ARPA file: it has no words in a \\1-grams: section")
    return [word for word in words if word not in SPECIAL]


def _open(path: str | Path):
    with open(path, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else open(path, "rb")


def _unigrams(stream: Iterable[bytes]) -> Iterator[bytes]:
    inside = False
    for line in stream:
        if line.startswith(b"\\1-grams:"):
            inside = True
        elif inside and line.startswith(b"\\"):
            return
        elif inside:
            yield line


class TokenBonus(LM):
    """A language model that adds a bonus (log10) to the score of every token."""

    def __init__(self, lm: LM, bonus: float):
        LM.__init__(self)
        self.lm, self.bonus = lm, bonus

    def start(self, start_with_nothing: bool) -> LMState:
        return self.lm.start(start_with_nothing)

    def score(self, state: LMState, token: int) -> tuple[LMState, float]:
        state, value = self.lm.score(state, token)
        return state, value + self.bonus

    def finish(self, state: LMState) -> tuple[LMState, float]:
        return self.lm.finish(state)


def sentence_score(lm: LM, ids: Iterable[int]) -> float:
    """Natural log-probability of a sentence, including the sentence end."""
    state, total = lm.start(False), 0.0
    for index in ids:
        state, value = lm.score(state, index)
        total += value
    return (total + lm.finish(state)[1]) * LN10


def perplexity(path: str | Path, sentences: Iterable[Sequence[str]]) -> float:
    """exp of the mean negative log-probability per unit and sentence end of the ARPA model in `path`; unknown units count as <unk>."""
    sentences = [list(s) for s in sentences]
    units = sorted({unit for sentence in sentences for unit in sentence} | {"<unk>"})
    ids = {unit: index for index, unit in enumerate(units)}
    lm = load_kenlm(path, units)
    total = sum(sentence_score(lm, [ids[unit] for unit in sentence]) for sentence in sentences)
    return math.exp(-total / sum(len(s) + 1 for s in sentences))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discards what C++ code writes to standard error: KenLM's reading progress."""
    sys.stderr.flush()
    with open(os.devnull, "wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
