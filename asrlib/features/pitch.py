"""Pitch input of ProgRE: logarithm of WORLD's DIO every 20 ms, normalised over the voiced frames of the utterance, 0 in unvoiced ones."""

import warnings

import numpy as np

from asrlib.features.mfcc import HOP, RATE, num_frames

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pyworld imports pkg_resources, which warns that it is deprecated
    import pyworld


def fundamental(audio: np.ndarray) -> np.ndarray:
    """(samples,) at 16 kHz -> frequency in Hz every 20 ms, 0 where unvoiced (Morise et al. 2009)."""
    return pyworld.dio(audio.astype(np.float64), RATE, frame_period=20.0)[0]


def pitch(audio: np.ndarray, hop: int = HOP) -> np.ndarray:
    """(samples,) at 16 kHz -> (frames,) float32, those of 20 ms that are multiples of `hop` samples; all 0 if no frame is voiced."""
    f0 = fundamental(audio)[: num_frames(len(audio))]
    voiced = f0 > 0
    values = np.zeros(len(f0), np.float32)
    if voiced.any():
        logs = np.log(f0[voiced])
        values[voiced] = (logs - logs.mean()) / (logs.std() + 1e-8)
    return values[:: hop // HOP]
