"""Feature computation by configuration."""

import numpy as np

from asrlib.config.features import FeatureConfig
from asrlib.features import spectrogram


def compute(audio: np.ndarray, config: FeatureConfig, where: str = "audio") -> np.ndarray:
    """(samples,) from `prepared` -> float32 (frames, config.dim). UserError: an empty recording."""
    if config.type == "logmel":
        from asrlib.features.logmel import log_mel  # librosa takes a second to import

        return log_mel(audio, config, where)
    return spectrogram.log_spectrogram(audio, config, where)


def num_frames(samples: int, config: FeatureConfig) -> int:
    """Number of frames that `compute` returns for that many samples."""
    return -(-samples // config.stride_samples) if config.type == "logmel" else spectrogram.num_frames(samples, config)


def prepared(audio: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """The part of a recording to compute features from: for log-mel features without the silence at both ends."""
    if config.type != "logmel":
        return audio
    from asrlib.features.logmel import trimmed

    return trimmed(audio, config)
