"""CTC prefix scores of all hypotheses of a batch of utterances (Watanabe et al. 2017, algorithm 2), without a loop over frames.

A prefix h has the forward probabilities n[t] and b[t]: the probability of all paths over the frames 0..t that spell h and end in its last token or in
blank. The recurrences over t are linear, so that n[t] / X[t], with X[t] the product of the token's probabilities up to t, is a cumulative sum. The
logarithms have 64 bits: X spans thousands of nats.
"""

from dataclasses import dataclass

import torch

BLANK = 0
LOG_ZERO = -1.0e10  # stands for log(0): finite, so that differences of impossible events are no NaN


@dataclass
class Prefixes:
    """N prefixes of each of U utterances."""

    n: torch.Tensor  # (U, N, T): logarithms; the last token ends at t
    b: torch.Tensor  # (U, N, T): a blank ends at t
    score: torch.Tensor  # (U, N): log-probability of all sequences that begin with the prefix
    last: torch.Tensor  # (U, N): last token; -1: the empty prefix


class CtcPrefixScorer:
    """Scores the continuations of prefixes by CTC log-probabilities (U, T, V) of utterances with the given numbers of frames (U,)."""

    def __init__(self, log_probs: torch.Tensor, lengths: torch.Tensor, eos: int):
        self.eos, self.lengths = eos, lengths
        padding = torch.arange(log_probs.shape[1], device=log_probs.device) >= lengths[:, None]
        log_probs = log_probs.masked_fill(padding[..., None], LOG_ZERO)
        log_probs[..., BLANK].masked_fill_(padding, 0.0)  # paths go on through the padding with blanks
        self.log_probs = log_probs.transpose(1, 2).contiguous()  # (U, V, T)

    def start(self) -> Prefixes:
        """The empty prefix of each utterance, N = 1."""
        b = self.log_probs[:, None, BLANK].double().cumsum(-1)
        return Prefixes(torch.full_like(b, LOG_ZERO), b, b.new_zeros(b.shape[:2]), torch.full(b.shape[:2], -1, device=b.device))

    def scores(self, prefixes: Prefixes, ids: torch.Tensor | None = None) -> torch.Tensor:
        """Log-probabilities (U, N, V) of each prefix continued by each token, LOG_ZERO for blank and tokens that are not among ids (U, N, S).

        At eos: the log-probability that the utterance ends with the prefix. None: all tokens.
        """
        total = torch.logaddexp(prefixes.n, prefixes.b)
        phi = _before(total, prefixes)
        peak = phi.amax(-1, keepdim=True)
        weights = (phi - peak).exp()  # (U, N, T)
        if ids is None:
            psi = _log(weights @ self.log_probs.double().exp().transpose(1, 2)) + peak
        else:
            psi = total.new_full((*total.shape[:2], self.log_probs.shape[1]), LOG_ZERO)
            rows = self._of(ids.flatten(1)).exp().unflatten(1, ids.shape[1:])  # (U, N, S, T)
            psi.scatter_(-1, ids, _log((rows @ weights[..., None])[..., 0]) + peak)
        self._repeat_last(psi, prefixes, ids)
        psi[..., BLANK] = LOG_ZERO
        psi[..., self.eos] = total.gather(-1, (self.lengths - 1)[:, None, None].expand(-1, total.shape[1], 1))[..., 0]
        return psi

    def _repeat_last(self, psi: torch.Tensor, prefixes: Prefixes, ids: torch.Tensor | None) -> None:
        """Corrects psi where the token is the prefix's last one: a blank must lie between the two."""
        last = prefixes.last.clamp(min=0)[..., None]
        repeated = torch.logsumexp(_before(prefixes.b, prefixes) + self._of(last[..., 0]), -1)
        scored = prefixes.last >= 0
        if ids is not None:
            scored = scored & (ids == last).any(-1)
        psi.scatter_(-1, last, torch.where(scored, repeated, psi.gather(-1, last)[..., 0])[..., None])

    def extend(self, prefixes: Prefixes, scores: torch.Tensor, parents: torch.Tensor, tokens: torch.Tensor) -> Prefixes:
        """The prefixes number parents (U, M), each continued by one of tokens (U, M); scores: of `scores`."""
        here = torch.arange(len(parents), device=parents.device)[:, None]
        chosen = Prefixes(prefixes.n[here, parents], prefixes.b[here, parents], scores[here, parents, tokens], prefixes.last[here, parents])
        total = torch.where((chosen.last == tokens)[..., None], chosen.b, torch.logaddexp(chosen.n, chosen.b))
        token, blank = self._of(tokens).cumsum(-1), self._of(torch.full_like(tokens, BLANK)).cumsum(-1)
        n = token + torch.logcumsumexp(_before(total, chosen) - _shift(token, 0.0), -1)
        b = blank + torch.logcumsumexp(_shift(n, LOG_ZERO) - _shift(blank, 0.0), -1)
        return Prefixes(n, b, chosen.score, tokens)

    def _of(self, tokens: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (U, N, T) of tokens (U, N)."""
        return self.log_probs[torch.arange(len(tokens), device=tokens.device)[:, None], tokens].double()

    def keep(self, rows: torch.Tensor, frames: int) -> None:
        """Keeps the utterances of these numbers only, and this number of frames."""
        self.lengths, self.log_probs = self.lengths[rows], self.log_probs[rows, :, :frames]


def keep(prefixes: Prefixes, rows: torch.Tensor, frames: int) -> Prefixes:
    """The prefixes of the utterances of these numbers, over the first frames only."""
    return Prefixes(prefixes.n[rows, :, :frames], prefixes.b[rows, :, :frames], prefixes.score[rows], prefixes.last[rows])


def _shift(values: torch.Tensor, first: float | torch.Tensor) -> torch.Tensor:
    """Values one frame later; first: at frame 0."""
    values = values.roll(1, -1)
    values[..., 0] = first
    return values


def _before(values: torch.Tensor, prefixes: Prefixes) -> torch.Tensor:
    """Values of the frame before each frame. Before the first frame, the empty prefix has probability 1, any other one 0."""
    return _shift(values, torch.where(prefixes.last < 0, 0.0, LOG_ZERO).to(values.dtype))


def _log(values: torch.Tensor) -> torch.Tensor:
    return values.log().clamp(min=LOG_ZERO)
