"""Recordings of any length in parts that a search takes by themselves; only a few minutes of the network's outputs are held at a time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from asrlib.api.networks import Network
from asrlib.decode.longform import first_cut, own_frames

GROUP = 240.0  # seconds of audio that the network computes together


class Stretch(NamedTuple):
    """Outputs (T, V) of a part of a recording that begins at `begin`, with frames of `frame` seconds. space: a word ends with the part."""

    begin: float
    frame: float
    log_probs: np.ndarray
    space: bool

    @property
    def end(self) -> float:
        return self.begin + self.frame * len(self.log_probs)


def computed(network: Network, clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The outputs of clips, in order, computed when they are needed."""
    group: list[np.ndarray] = []
    for clip in clips:
        if group and sum(map(len, group)) + len(clip) > GROUP * network.rate:
            yield from network.log_probs(group)
            group = []
        group.append(clip)
    if group:
        yield from network.log_probs(group)


def apart(outputs: Iterator[np.ndarray], spans: Sequence[tuple[int, int]], rate: int) -> Iterator[Stretch]:
    """Parts with pauses between them: their outputs are the stretches. spans: in samples."""
    for begin, end in spans:
        log_probs = next(outputs)
        yield Stretch(begin / rate, (end - begin) / rate / max(1, len(log_probs)), log_probs, True)


def joined(outputs: Iterator[np.ndarray], spans: Sequence[tuple[int, int]], rate: int, blank: int, space: int | None) -> Iterator[Stretch]:
    """Overlapping windows as one output, cut again at pauses into stretches that are no longer than a window. spans: in samples."""
    log_probs, times, longest = np.empty((0, 0), np.float32), np.empty(0), 0  # frames, when they begin, frames of a window
    for number, (begin, end) in enumerate(spans):
        window = next(outputs)
        own, frame = own_frames(len(window), number, spans), (end - begin) / rate / max(1, len(window))
        log_probs = np.concatenate([log_probs, window[own]]) if number else window[own]
        times = np.concatenate([times, begin / rate + frame * np.arange(len(window))[own]])
        longest = longest or len(window)
        while len(spans) > 1 and len(log_probs) > longest:
            cut, word_ends = first_cut(log_probs, blank, space, longest)
            yield Stretch(times[0], (times[cut] - times[0]) / cut, log_probs[:cut], word_ends)
            log_probs, times = log_probs[cut:], times[cut:]
    begin_of_rest = times[0] if len(times) else 0.0
    yield Stretch(begin_of_rest, (spans[-1][1] / rate - begin_of_rest) / max(1, len(log_probs)), log_probs, False)
