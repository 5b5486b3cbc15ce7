"""Overlapping windows of long recordings, places to cut them, and word times from a CTC path."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrlib.decode.align import Span, best_path
from asrlib.decode.greedy import BOUNDARY, SPACE


@dataclass(frozen=True)
class Word:
    """A word with its begin and end in seconds. confidence: the mean of the largest probabilities of its tokens."""

    text: str
    begin: float
    end: float
    confidence: float = 1.0


def windows(samples: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Begin and end of windows of `size` samples, each overlapping the previous one by `overlap` samples; one window if the recording fits."""
    if samples <= size:
        return [(0, samples)]
    step = size - overlap
    starts = list(range(0, samples - overlap, step))
    return [(start, min(start + size, samples)) for start in starts]


def own_frames(frames: int, number: int, spans: Sequence[tuple[int, int]]) -> slice:
    """The frames that window `number`, which has so many, contributes to the whole: where two overlap, each has the half nearer to its middle."""
    begin, end = spans[number]
    rate = frames / max(1, end - begin)  # frames per sample
    first = round((spans[number - 1][1] - begin) / 2 * rate) if number else 0
    last = frames - (round((end - spans[number + 1][0]) / 2 * rate) if number + 1 < len(spans) else 0)
    return slice(first, last)


def first_cut(log_probs: np.ndarray, blank: int, space: int | None, longest: int) -> tuple[int, bool]:
    """Where to cut outputs of more than `longest` frames, at most so far from their begin, and whether a word ends there.

    In the middle of a pause (frames of blanks and spaces) of the second half: of the longest one with a space, or else of the longest one. Without a
    pause: between two tokens. space: the token's index, None if texts have none.
    """
    path = np.argmax(log_probs[:longest], -1)
    first = longest // 2
    spaces = path[first:] == (-1 if space is None else space)
    silent = np.concatenate([[False], spaces | (path[first:] == blank), [False]])
    pauses = np.flatnonzero(np.diff(silent)).reshape(-1, 2).tolist()
    if pauses:
        with_space, length, start = max((bool(spaces[start:stop].any()), stop - start, start) for start, stop in pauses)
        return max(first + start + length // 2, 1), with_space
    changes = np.flatnonzero(np.diff(path[first:]))
    return (first + int(changes[-1]) + 1 if len(changes) else longest), False


def timed_words(log_probs: np.ndarray, tokens: Sequence[str], blank: int, separator: str, seconds: float) -> list[Word]:
    """Words of the best path of (T, V) outputs over a recording of `seconds` seconds."""
    return words_of(best_path(log_probs, blank), tokens, separator, seconds / max(1, len(log_probs)))


def words_of(spans: Sequence[Span], tokens: Sequence[str], separator: str, frame: float) -> list[Word]:
    """Words of tokens in frames of `frame` seconds.

    A token lasts from its first to its last frame. Words end at spaces; if the token list has no space, each token is a word (Mandarin).
    """
    joined = not separator and (SPACE in tokens or any(BOUNDARY in token for token in tokens))
    words: list[list[Span]] = []
    inside = False
    for span in spans:
        text = tokens[span.token]
        if text == SPACE:
            inside = False
            continue
        if not (joined and inside) or text.startswith(BOUNDARY):
            words.append([])
        words[-1].append(span)
        inside = True
    made = [_word(word, "".join(tokens[span.token] for span in word).replace(BOUNDARY, ""), frame) for word in words]
    return [word for word in made if word.text]


def _word(spans: Sequence[Span], text: str, frame: float) -> Word:
    return Word(text, spans[0].begin * frame, spans[-1].end * frame, sum(span.confidence for span in spans) / len(spans))
