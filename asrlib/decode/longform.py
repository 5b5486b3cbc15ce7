"""Overlapping windows of long recordings, and word times from a CTC path."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SPACE, BOUNDARY = "<space>", "\u2581"


@dataclass(frozen=True)
class Word:
    """A word with its begin and end in seconds."""

    text: str
    begin: float
    end: float


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


def timed_words(log_probs: np.ndarray, tokens: Sequence[str], blank: int, separator: str, seconds: float) -> list[Word]:
    """Words of the best path of (T, V) outputs over a recording of `seconds` seconds.

    A token lasts from its first to its last frame. Words end at spaces; if the token list has no space, each token is a word (Mandarin).
    """
    if not len(log_probs):
        return []
    frame = seconds / len(log_probs)
    path = np.argmax(log_probs, -1)
    edges = np.flatnonzero(np.diff(path)) + 1
    runs = zip(np.concatenate([[0], edges]), np.concatenate([edges, [len(path)]]), strict=True)
    timed = [(tokens[path[begin]], begin * frame, end * frame) for begin, end in runs if path[begin] != blank]
    joined = not separator and (SPACE in tokens or any(BOUNDARY in token for token in tokens))
    words: list[Word] = []
    inside = False
    for token, begin, end in timed:
        if token == SPACE:
            inside = False
            continue
        starts = not (joined and inside) or token.startswith(BOUNDARY)
        text = token.replace(BOUNDARY, "")
        if starts or not words:
            words.append(Word(text, begin, end))
        else:
            words[-1] = Word(words[-1].text + text, words[-1].begin, end)
        inside = True
    return [word for word in words if word.text]


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
