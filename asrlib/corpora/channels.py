"""Channels of a recording: which one an utterance is in, and when several may be taken as one.

A telephone call or a meeting has another speaker in each channel, so that the mean of the channels has the words of all of them: channels that
differ are never mixed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrlib.utils.errors import UserError

SAME = 0.01  # root mean square of the difference of two channels relative to theirs (-40 dB) at which they are the same recording,
ROUNDING = 2 / 32768  # and in absolute terms: dither, rounding to 16 bits


@dataclass(frozen=True)
class Channel:
    """A channel, from 0. alone: a recording that has one channel only may be this one, because it was split before."""

    number: int
    alone: bool = True


def named_channels(names: Mapping[str, str]) -> dict[str, int]:
    """Recording -> number, from the names of channels in reco2file_and_channel: A, B, ... or 1, 2, ... Others are left out; where a channel 0
    occurs, all digits, because nobody knows whether 1 is the first."""
    numbers = {key: ord(name) - ord("A") for key, name in names.items() if re.fullmatch("[A-Z]", name)}
    if "0" not in names.values():
        numbers |= {key: int(name) - 1 for key, name in names.items() if re.fullmatch("[1-9][0-9]?", name)}
    return numbers


def one_channel(samples: np.ndarray, channel: Channel | None, name: str | Path) -> np.ndarray:
    """(n, channels) float32 -> (n,): the channel, or without one the only one, or the mean of channels that are the same but for rounding.

    UserError: the recording has no such channel; without a channel, several that differ.
    """
    chooser = OneChannel(samples.shape[1], channel, name)
    mono = chooser.add(samples)
    chooser.check()
    return mono


class OneChannel:
    """one_channel for a recording that is read in blocks: `add` each, `check` at its end. UserError: as one_channel."""

    def __init__(self, count: int, channel: Channel | None, name: str | Path):
        self.count, self.name = count, name
        self.number = 0 if count == 1 else None
        if channel is not None and not (count == 1 and channel.alone):
            if channel.number >= count:
                raise UserError(f"audio file {name} has {count} channel{'s' * (count > 1)}, not channel {channel.number + 1}: correct the channel")
            self.number = channel.number
        self.frames = 0
        self.squares, self.differences, self.mean_square = np.zeros(count), np.zeros(count), 0.0  # sums; differences from the first channel

    def add(self, samples: np.ndarray) -> np.ndarray:
        """(n, channels) -> (n,)"""
        if self.number is not None:
            return samples[:, self.number]
        mean = samples.mean(axis=1, dtype=np.float64).astype(np.float32)
        self.frames += len(samples)
        self.squares += np.square(samples, dtype=np.float64).sum(0)
        self.differences += np.square(samples - samples[:, :1], dtype=np.float64).sum(0)
        self.mean_square += float(np.square(mean, dtype=np.float64).sum())
        return mean

    def check(self) -> None:
        if self.number is not None or not self.frames:
            return
        level, difference = (float(np.sqrt(sums.max() / self.frames)) for sums in (self.squares, self.differences))
        if difference <= max(SAME * level, ROUNDING):
            return
        nearly = np.sqrt(self.mean_square / self.frames) <= 0.1 * level
        opposite = " (in opposite phase: their mean is nearly silence)" if nearly else ""
        ways = "name the channel (in reco2file_and_channel, in a fifth column of segments, or for transcribe with --channel 1)"
        ways += ", or write one to a file: sox IN OUT remix 1 (in wav.scp: sox IN -t wav - remix 1 |)"
        raise UserError(f"audio file {self.name} has {self.count} channels that differ{opposite}: {ways}")
