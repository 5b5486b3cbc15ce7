"""Speaker targets for ProgRE, whose own targets are not published.

The classes are the corpus's speakers. If these are unknown (every utterance has its own speaker in utt2spk), recordings are clustered by
utterance statistics: mean and deviation of MFCC and of log pitch, each normalised over the corpus. These clusters reflect both voice and
channel, which the speaker module should remove from the features.
"""

import numpy as np
from sklearn.cluster import KMeans

from asrlib.features.mfcc import mfcc
from asrlib.features.pitch import fundamental
from asrlib.utils.errors import UserError


def voice(audio: np.ndarray) -> np.ndarray:
    """(samples,) -> (28,): mean and deviation of 13 MFCC, mean and deviation of log f0 (0 if no frame is voiced)."""
    cepstra = mfcc(audio)
    f0 = fundamental(audio)
    logs = np.log(f0[f0 > 0])
    level = [logs.mean(), logs.std()] if logs.size else [0.0, 0.0]
    return np.concatenate([cepstra.mean(0), cepstra.std(0), level]).astype(np.float32)


def speaker_labels(utt2spk: dict[str, str]) -> dict[str, int]:
    """Utterance -> index of its speaker in sorted order."""
    numbers = {speaker: i for i, speaker in enumerate(sorted(set(utt2spk.values())))}
    return {utt: numbers[speaker] for utt, speaker in utt2spk.items()}


def speaker_clusters(voices: dict[str, np.ndarray], clusters: int, seed: int = 0) -> dict[str, int]:
    """Utterance -> cluster. UserError: fewer utterances than clusters."""
    if len(voices) < clusters:
        raise UserError(f"{len(voices)} utterances are too few for {clusters} speaker clusters: lower --num_speakers")
    vectors = np.array(list(voices.values()))
    vectors = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)
    found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(vectors)
    return {utt: int(cluster) for utt, cluster in zip(voices, found, strict=True)}
