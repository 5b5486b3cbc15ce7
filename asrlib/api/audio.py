"""Audio as a caller has it, a file or an array, as samples at a model's rate."""

import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soxr

from asrlib.corpora.audio import read_audio
from asrlib.corpora.channels import Channel
from asrlib.utils.errors import UserError

Audio: TypeAlias = str | os.PathLike[str] | np.ndarray


def samples_of(audio: Audio, rate: int | None, wanted: int, channel: int | None = None) -> np.ndarray:
    """(samples,) float32 at `wanted` Hz. audio: a file, or an array (samples,) at `rate` Hz, floats in [-1, 1] or integers of 16 or 32 bits.

    channel: of a file, from 1; None: its only one. UserError: as read_audio; an array of another shape or type, without a rate, or not finite.
    """
    if not isinstance(audio, np.ndarray):
        return read_audio(Path(audio), wanted, channel=None if channel is None else Channel(channel - 1, alone=False))
    if rate is None or rate <= 0:
        raise UserError("an array needs its rate: give rate, in Hz")
    if audio.ndim != 1:
        raise UserError(f"an array of shape {audio.shape}: give (samples,), one channel")
    if audio.dtype in (np.int16, np.int32):
        audio = audio / np.float32(-np.iinfo(audio.dtype).min)
    if not np.issubdtype(audio.dtype, np.floating):
        raise UserError(f"an array of {audio.dtype}: give floats in [-1, 1], int16 or int32")
    if not np.isfinite(audio).all():
        raise UserError("an array with values that are not numbers (NaN) or infinite")
    samples = audio.astype(np.float32)
    return samples if rate == wanted or not len(samples) else soxr.resample(samples, rate, wanted).astype(np.float32)
