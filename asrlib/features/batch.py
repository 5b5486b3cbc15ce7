"""A padded batch of a few utterances, for comparing frameworks."""

from pathlib import Path

import numpy as np

from asrlib.config.features import FeatureConfig
from asrlib.config.pretraining import TrunkConfig
from asrlib.corpora.audio import read_wav_entry
from asrlib.corpora.kaldi_table import read_table
from asrlib.features.ark import read_matrix
from asrlib.features.compute import compute, prepared
from asrlib.features.mfcc import RATE
from asrlib.features.pitch import pitch
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

LONGEST = 20.0  # seconds; longer utterances are cut


def write_batch(scp: Path, count: int, settings: FeatureConfig, path: Path) -> None:
    """Writes an .npz with feats (B, T, F) and lengths (B,) of the first `count` entries of a wav.scp or feats.scp.

    UserError: no entries, or an entry that cannot be read.
    """
    entries = list(read_table(scp).rows.items())[: max(1, count)]
    if not entries:
        raise UserError(f"{scp} has no utterances: give another file")
    feats = [_feats(name, value, scp.name == "feats.scp", settings) for name, value in entries]
    padded = np.zeros((len(feats), max(map(len, feats)), settings.dim), np.float32)
    for row, matrix in enumerate(feats):
        padded[row, : len(matrix)] = matrix
    with atomic_write(path, "wb") as stream:
        np.savez(stream, feats=padded, lengths=np.array([len(x) for x in feats], np.int32))


def write_wavs(wav_scp: Path, count: int, config: TrunkConfig, path: Path) -> None:
    """Writes an .npz with wavs (B, samples), lengths (B,) and pitch (B, frames) of the first `count` recordings.

    UserError: no recordings, or one that cannot be read.
    """
    entries = list(read_table(wav_scp).rows.items())[: max(1, count)]
    if not entries:
        raise UserError(f"{wav_scp} has no utterances: give another file")
    audios = [read_wav_entry(value)[: round(LONGEST * RATE)] for _, value in entries]
    wavs = np.zeros((len(audios), max(map(len, audios))), np.float32)
    curves = np.zeros((len(audios), max(1, config.frames(wavs.shape[1]))), np.float32)
    for row, audio in enumerate(audios):
        curve = pitch(audio, config.hop)[: curves.shape[1]]
        curves[row, : len(curve)] = curve
        wavs[row, : len(audio)] = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-5) if config.normalize else audio
    with atomic_write(path, "wb") as stream:
        np.savez(stream, wavs=wavs, lengths=np.array([len(audio) for audio in audios], np.int32), pitch=curves)


def _feats(name: str, value: str, ready: bool, settings: FeatureConfig) -> np.ndarray:
    if ready:
        return read_matrix(value, f"utterance {name}", settings.dim)[: round(LONGEST / settings.window_stride)]
    audio = read_wav_entry(value, settings.sample_rate)[: round(LONGEST * settings.sample_rate)]
    return compute(prepared(audio, settings), settings, f"recording {name}")
