"""When tokens were spoken and how sure the network is of them: the best path of CTC, freely or through given tokens (Graves et al. 2006)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Span:
    """A token from its first frame to the one after its last; confidence: its largest probability in these frames."""

    token: int
    begin: int
    end: int
    confidence: float


def best_path(log_probs: np.ndarray, blank: int) -> list[Span]:
    """The tokens of the best path of (T, V) natural log-probabilities."""
    return path_spans(np.argmax(log_probs, -1), log_probs.max(-1), blank) if len(log_probs) else []


def align(log_probs: np.ndarray, tokens: Sequence[int], blank: int) -> list[Span] | None:
    """The most probable path through these tokens; None: there are fewer frames than the tokens need. Memory: a byte per frame and token, twice."""
    states = np.full(2 * len(tokens) + 1, blank)  # a blank before, between and after the tokens
    states[1::2] = tokens
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]  # two tokens that differ need no blank between them
    emissions = log_probs[:, states]
    score, steps = np.full(len(states), -np.inf), np.zeros((len(log_probs), len(states)), np.int8)
    score[:1] = 0.0  # before the first frame: in the first blank
    for frame, emission in enumerate(emissions):
        one, two = np.full_like(score, -np.inf), np.full_like(score, -np.inf)
        one[1:] = score[:-1]
        two[2:] = np.where(skips[2:], score[:-2], -np.inf)
        before = np.stack([score, one, two])
        steps[frame] = before.argmax(0)
        score = before.max(0) + emission
    ends = len(states) - 1 - np.arange(min(2, len(states)))
    state = int(max(ends, key=lambda end: score[end]))
    if not len(log_probs) or score[state] == -np.inf:
        return [] if not len(tokens) else None
    path = np.empty(len(log_probs), int)
    for frame in reversed(range(len(log_probs))):
        path[frame] = state
        state -= int(steps[frame, state])
    return path_spans(states[path], log_probs[np.arange(len(path)), states[path]], blank, path)


def path_spans(tokens: np.ndarray, scores: np.ndarray, blank: int, places: np.ndarray | None = None) -> list[Span]:
    """The runs of the same place (else the same token) that are not blank. tokens, scores (T,): of each frame, with its natural log-probability."""
    places = tokens if places is None else places
    edges = [0, *(np.flatnonzero(np.diff(places)) + 1).tolist(), len(places)]
    runs = [(int(tokens[begin]), begin, end) for begin, end in zip(edges, edges[1:], strict=False) if tokens[begin] != blank]
    return [Span(token, begin, end, float(np.exp(scores[begin:end].max()))) for token, begin, end in runs]
