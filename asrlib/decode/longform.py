"""Overlapping windows of long recordings, and word times from a CTC path."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asrlib.decode.align import Span, best_path

SPACE, BOUNDARY = "<space>", "\u2581"


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


def stitched(parts: Sequence[np.ndarray], spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Joins the outputs (frames, V) of the windows; where two windows overlap, each contributes the half nearer to its middle."""
    pieces = []
    for number, (part, (begin, end)) in enumerate(zip(parts, spans, strict=True)):
        rate = len(part) / max(1, end - begin)  # frames per sample
        first = round((spans[number - 1][1] - begin) / 2 * rate) if number else 0
        last = len(part) - (round((end - spans[number + 1][0]) / 2 * rate) if number + 1 < len(spans) else 0)
        pieces.append(part[first:last])
    return np.concatenate(pieces) if pieces else np.empty((0, 0), np.float32)


class Piece(NamedTuple):
    """Frames of a recording that are searched by themselves. space: a word ends at the end."""

    begin: int
    end: int
    space: bool


def pieces(log_probs: np.ndarray, blank: int, space: int | None, longest: int) -> list[Piece]:
    """Parts of at most `longest` frames, cut in the middle of a pause (frames of blanks and spaces) of their second half: of the longest one with a
    space, or else of the longest one. space: the token's index, None if texts have none."""
    path = np.argmax(log_probs, -1) if len(log_probs) else np.empty(0, int)
    found, begin = [], 0
    while len(path) - begin > longest:
        first = begin + longest // 2
        spaces = path[first : begin + longest] == (-1 if space is None else space)
        silent = np.concatenate([[False], spaces | (path[first : begin + longest] == blank), [False]])
        pauses = np.flatnonzero(np.diff(silent)).reshape(-1, 2).tolist()
        ranked = max(((bool(spaces[start:stop].any()), stop - start, start) for start, stop in pauses), default=(False, 0, longest - longest // 2))
        cut = max(first + ranked[2] + ranked[1] // 2, begin + 1)
        found.append(Piece(begin, cut, ranked[0]))
        begin = cut
    return [*found, Piece(begin, len(path), False)]


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


def ctm(name: str, words: Sequence[Word], channel: int = 1) -> str:
    """Lines of NIST's CTM: recording, channel, begin, duration, word. The name must be one word (asrlib.utils.files.plain_name)."""
    return "".join(f"{name} {channel} {word.begin:.2f} {word.end - word.begin:.2f} {word.text}\n" for word in words)


def srt(words: Sequence[Word], separator: str, longest: float = 6.0, pause: float = 0.7) -> str:
    """Subtitles of at most `longest` seconds, a new one after every pause."""
    groups: list[list[Word]] = []
    for word in words:
        if not groups or word.begin - groups[-1][-1].end > pause or word.end - groups[-1][0].begin > longest:
            groups.append([])
        groups[-1].append(word)
    blocks = (f"{n}\n{_time(g[0].begin)} --> {_time(g[-1].end)}\n{separator.join(w.text for w in g)}\n" for n, g in enumerate(groups, 1))
    return "\n".join(blocks)


def _time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3600000:02d}:{milliseconds // 60000 % 60:02d}:{milliseconds // 1000 % 60:02d},{milliseconds % 1000:03d}"
