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
    count = samples.shape[1]
    if channel is not None and not (count == 1 and channel.alone):
        if channel.number >= count:
            raise UserError(f"audio file {name} has {count} channel{'s' * (count > 1)}, not channel {channel.number + 1}: correct the channel")
        return samples[:, channel.number]
    if count == 1:
        return samples[:, 0]
    level = _rms(samples).max()
    mean = samples.mean(axis=1, dtype=np.float64).astype(np.float32)
    if _rms(samples - samples[:, :1]).max() <= max(SAME * level, ROUNDING):
        return mean
    opposite = " (in opposite phase: their mean is nearly silence)" if _rms(mean[:, None]).max() <= 0.1 * level else ""
    ways = "name the channel (in reco2file_and_channel, in a fifth column of segments, or for transcribe with --channel 1)"
    ways += ", or write one to a file: sox IN OUT remix 1 (in wav.scp: sox IN -t wav - remix 1 |)"
    raise UserError(f"audio file {name} has {count} channels that differ{opposite}: {ways}")


def _rms(samples: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(samples, dtype=np.float64), axis=0))
