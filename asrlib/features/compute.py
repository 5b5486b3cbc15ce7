"""The features that a configuration asks for."""

import numpy as np

from asrlib.config.features import FeatureConfig
from asrlib.features import spectrogram


def compute(audio: np.ndarray, config: FeatureConfig, where: str = "audio") -> np.ndarray:
    """(samples,) as `prepared` gives them -> float32 (frames, config.dim). UserError: an empty recording."""
    if config.type == "logmel":
        from asrlib.features.logmel import log_mel  # librosa takes a second to import

        return log_mel(audio, config, where)
    return spectrogram.log_spectrogram(audio, config, where)


def num_frames(samples: int, config: FeatureConfig) -> int:
    """Frames that `compute` makes of that many samples."""
    return -(-samples // config.stride_samples) if config.type == "logmel" else spectrogram.num_frames(samples, config)


def prepared(audio: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """The part of a recording that features are made of: log-mel leaves out the silence at its ends."""
    if config.type != "logmel":
        return audio
    from asrlib.features.logmel import trimmed

    return trimmed(audio, config)
