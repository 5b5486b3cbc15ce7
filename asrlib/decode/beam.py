"""CTC prefix beam search on flashlight-text, with an n-gram language model over words or over tokens.

A hypothesis y scores  ln P_CTC(y) + alpha ln P_LM(y) + beta |y|  with P_CTC summed over all alignments that the beam kept, P_LM including the
sentence end, and |y| counted in the units of the language model (Hannun et al. 2014). The lexicon is closed, as in Deep Speech 2's decoder:
words outside the language model's vocabulary are never recognised.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from flashlight.lib.text.decoder import (
    LM,
    CriterionType,
    LexiconDecoder,
    LexiconDecoderOptions,
    LexiconFreeDecoder,
    LexiconFreeDecoderOptions,
    SmearingMode,
    Trie,
    ZeroLM,
)

from asrlib.decode.greedy import BOUNDARY, SPACE, collapse, tokens_to_text
from asrlib.decode.hotwords import Hotwords
from asrlib.decode.lm import LN10, TokenBonus, is_binary, load_kenlm, vocabulary
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)
HOT_TOP_N = 10  # tokens tried per frame, at most, where Python scores each for hot words: 18 ms a frame (29: 90 ms)
NEVER = -1e9  # log-probability of an impossible token; finite, because flashlight adds and subtracts it


@dataclass(frozen=True)
class BeamConfig:
    """Options of the search. MindSpore's model zoo lists, but does not use, alpha 1.818182, beta 0, beam 1024, cutoff 40 and 1.0."""

    lm: str = ""  # ARPA file (also .gz) or KenLM binary; empty: no language model
    lexicon: str = ""  # one word per line; empty: the words of the ARPA file
    lm_unit: Literal["auto", "word", "token"] = "auto"  # auto: word if the tokens hold <space>
    alpha: float = 1.0  # weight of the language model
    beta: float = 1.0  # bonus per word (or token) of the language model: offsets the deletions that alpha causes
    beam_size: int = 128  # hypotheses kept per frame; 1024 takes about ten times as long
    beam_threshold: float = 30.0  # hypotheses this many nats below the best are dropped
    cutoff_top_n: int = 40  # tokens tried per frame
    cutoff_prob: float = 1.0  # of these, only the most probable ones that add up to this probability; 1.0: all
    nbest: int = 1
    hotwords: tuple[str, ...] = ()  # words and phrases that get a bonus (asrlib.decode.hotwords)
    hotword_weight: float = 1.0  # nats for each character of a hot word; 0: none

    def __post_init__(self):
        for name in ("beam_size", "cutoff_top_n", "nbest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if not 0.0 < self.cutoff_prob <= 1.0:
            raise ValueError("cutoff_prob must be above 0 and at most 1")
        if self.beam_threshold <= 0.0 or self.alpha <= 0.0:
            raise ValueError("beam_threshold and alpha must be above 0; to decode without a language model leave lm empty")
        if self.hotword_weight < 0.0:
            raise ValueError("hotword_weight must be at least 0")


@dataclass(frozen=True)
class Hypothesis:
    """One of the n best; score: natural logarithm, by the formula at the top of this module; tokens: ids that spell the text."""

    text: str
    score: float
    tokens: tuple[int, ...] = ()


class BeamDecoder:
    """Decodes one utterance at a time; every process needs its own.

    tokens: the token list, with the blank at index `blank`. separator: "" for characters and pieces, " " for tokens that are words.
    UserError: the language model cannot be read or does not fit the tokens.
    """

    def __init__(self, tokens: Sequence[str], blank: int, config: BeamConfig, separator: str = ""):
        self.tokens, self.blank, self.config, self.separator = list(tokens), blank, config, separator
        unit = config.lm_unit if config.lm_unit != "auto" else "word" if SPACE in self.tokens else "token"
        self.hot = config.hotwords if config.hotword_weight else ()
        self._check_hotwords()
        self.words = self._lexicon() if config.lm and unit == "word" else []
        self.lm = self._with_hotwords(self._load()) if self.hot else self._load()
        self.decoder = self._word_decoder() if self.words else self._token_decoder()

    def decode(self, log_probs: np.ndarray, nbest: int | None = None) -> list[Hypothesis]:
        """The n best of log_probs (T, V), natural logarithms; at most `nbest` (None: config.nbest), best first, at least one (perhaps empty)."""
        if log_probs.ndim != 2 or log_probs.shape[1] != len(self.tokens):
            raise ValueError(f"log_probs of shape {log_probs.shape} for {len(self.tokens)} tokens")
        if not np.all(log_probs < np.inf):  # false for NaN too
            raise UserError("the model's outputs are not numbers (NaN): check the training log for divergence")
        if not len(log_probs):
            return [Hypothesis("", 0.0)]
        emissions = _cut(np.maximum(log_probs, NEVER), self.config.cutoff_prob)
        if self.words:  # in the lexicon every word ends with a space: an extra frame provides the last one
            end = np.full((1, len(self.tokens)), NEVER, dtype=np.float32)
            end[0, self.tokens.index(SPACE)] = 0.0
            emissions = np.concatenate([emissions, end])
        emissions = np.ascontiguousarray(emissions, dtype=np.float32)
        results = self.decoder.decode(emissions.ctypes.data, *emissions.shape)
        best: dict[str, Hypothesis] = {}
        for result in results:  # token sequences that differ only in spaces give the same text
            hypothesis = self._hypothesis(result)
            best.setdefault(hypothesis.text, hypothesis)
            if len(best) == (nbest or self.config.nbest):
                break
        return [*best.values()] or [Hypothesis("", NEVER)]

    def _hypothesis(self, result) -> Hypothesis:
        ids = tuple(collapse(np.array(result.tokens[1:-1]), self.blank))
        if self.words:
            return Hypothesis(" ".join(self.words[index] for index in result.words if index >= 0), result.score, ids)
        return Hypothesis(tokens_to_text(ids, self.tokens, self.separator), result.score, ids)

    def _lexicon(self) -> list[str]:
        """The words of the lexicon or the ARPA file that the tokens can spell."""
        if SPACE not in self.tokens:
            raise UserError(f"a word language model needs the token {SPACE} in the token list: set lm_unit to token")
        config = self.config
        words = sorted(set(_read_lexicon(config.lexicon) if config.lexicon else vocabulary(config.lm)))
        known = {t for i, t in enumerate(self.tokens) if i != self.blank}
        spelled = [word for word in words if known.issuperset(self._spell(word))]
        source = config.lexicon or config.lm
        if not spelled:
            raise UserError(
                f"{source}: none of its {len(words)} words can be spelled with the tokens: compare {words[:1]} with the token list (case?)"
            )
        if len(spelled) < len(words):
            ignored = len(words) - len(spelled)
            log.warning("%s: %d of %d words are ignored, because the tokens cannot spell them", source, ignored, len(words))
        if added := sorted({word for phrase in self.hot for word in phrase.split()}.difference(spelled)):
            log.info("%d words of the hot words are not in %s: it scores them as unknown", len(added), source)
        return [*spelled, *added]

    def _check_hotwords(self) -> None:
        known = set("".join(self._texts(self.tokens)))
        for phrase in self.hot:
            if missing := set(phrase) - known - {" "}:
                raise UserError(f"hot word {phrase!r}: the tokens have no {min(missing)!r}: spell it as the training set does (case?)")

    def _with_hotwords(self, lm: LM) -> LM:
        units = [f" {word}" for word in self.words] or self._texts(self.tokens)
        return Hotwords(lm, self.hot, units, self.config.hotword_weight / (self.config.alpha * LN10))

    def _texts(self, tokens: Sequence[str]) -> list[str]:
        """What each token adds to the text; tokens without a text (<unk>) are a character of no word."""
        before = " " if self.separator else ""
        plain = ["\0" if re.fullmatch("<.+>", token) and token != SPACE else token.replace(BOUNDARY, " ") for token in tokens]
        return [" " if token == SPACE else before + token for token in plain]

    def _spell(self, word: str) -> list[str]:
        """The tokens of a word: its characters, or itself, if it is a token (a tag such as <noise>)."""
        return [word] if word in self.tokens else list(word)

    def _load(self) -> LM:
        """The language model over self.words or over the tokens; ZeroLM if there is none."""
        config = self.config
        if not config.lm:
            return ZeroLM()
        lm = load_kenlm(config.lm, self.words or self.tokens)
        if self.words:
            return lm
        if not is_binary(config.lm) and set(self.tokens).isdisjoint(vocabulary(config.lm)):
            raise UserError(f"{config.lm}: none of its units is a token: if it is a word model, set lm_unit to word")
        return TokenBonus(lm, config.beta / (config.alpha * LN10)) if config.beta else lm

    def _token_decoder(self) -> LexiconFreeDecoder:
        c = self.config
        top_n = min(self._top_n(), HOT_TOP_N) if self.hot else self._top_n()
        options = LexiconFreeDecoderOptions(c.beam_size, top_n, c.beam_threshold, c.alpha * LN10, 0.0, True, CriterionType.CTC)
        # The decoder starts after its "silence" token; an index beyond the tokens prevents a first <space> from counting as a repetition of it.
        return LexiconFreeDecoder(options, self.lm, len(self.tokens), self.blank, [])

    def _word_decoder(self) -> LexiconDecoder:
        c = self.config
        space, ids = self.tokens.index(SPACE), {token: index for index, token in enumerate(self.tokens)}
        trie, start = Trie(len(self.tokens), space), self.lm.start(False)
        for index, word in enumerate(self.words):
            trie.insert([*(ids[token] for token in self._spell(word)), space], index, self.lm.score(start, index)[1])
        trie.smear(SmearingMode.MAX)  # a prefix scores the best unigram of its words, until its word is known
        options = LexiconDecoderOptions(
            c.beam_size, self._top_n(), c.beam_threshold, c.alpha * LN10, c.beta, float("-inf"), 0.0, True, CriterionType.CTC
        )
        return LexiconDecoder(options, trie, self.lm, space, self.blank, -1, [], False)

    def _top_n(self) -> int:
        return min(self.config.cutoff_top_n, len(self.tokens))


def _cut(log_probs: np.ndarray, mass: float) -> np.ndarray:
    """Sets, in each frame, all tokens to NEVER but the most probable ones whose probabilities add up to `mass`."""
    if mass >= 1.0:
        return log_probs
    order = np.argsort(-log_probs, axis=1)
    probs = np.exp(np.take_along_axis(log_probs, order, axis=1))
    before = np.cumsum(probs, axis=1) - probs
    out = np.empty_like(log_probs)
    np.put_along_axis(out, order, np.where(before < mass, np.take_along_axis(log_probs, order, axis=1), NEVER), axis=1)
    return out


def _read_lexicon(path: str) -> list[str]:
    """The first field of each line."""
    try:
        return [line.split()[0] for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (FileNotFoundError, UnicodeDecodeError):
        raise UserError(f"{path}: no such lexicon, or not UTF-8: give a file with one word per line") from None
