"""MFCC with first and second differences, the features of HuBERT's first targets (Hsu et al. 2021, section 4.1)."""

import kaldi_native_fbank as knf
import numpy as np

from asrlib.config.pretraining import TARGET_HOP
from asrlib.utils.errors import UserError

RATE = 16000
FRAME, HOP = 400, TARGET_HOP  # samples in the receptive field of a frame, and from one frame to the next (20 ms), as in HuBERT's convolutions
DIM = 39


def num_frames(samples: int) -> int:
    """Number of 20 ms frames that HuBERT's convolutions return for that many samples; 0 if there are too few."""
    return max(0, (samples - FRAME) // HOP + 1)


def mfcc(audio: np.ndarray) -> np.ndarray:
    """Kaldi's 13 MFCC without energy and dither, 25 ms every 10 ms: (samples,) in [-1, 1] at 16 kHz -> (frames, 13)."""
    options = knf.MfccOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither = RATE, 0.0
    options.use_energy = False
    computer = knf.OnlineMfcc(options)
    computer.accept_waveform(RATE, audio.tolist())
    computer.input_finished()
    return np.array([computer.get_frame(i) for i in range(computer.num_frames_ready)], np.float32).reshape(-1, options.num_ceps)


def deltas(x: np.ndarray) -> np.ndarray:
    """Regression over five frames with repeated edges (HTK's formula): (frames, dim) -> (frames, dim)."""
    padded = np.pad(x, ((2, 2), (0, 0)), mode="edge")
    n = len(x)
    return ((padded[3 : n + 3] - padded[1 : n + 1]) + 2 * (padded[4 : n + 4] - padded[:n])) / 10


def mfcc_frames(audio: np.ndarray, where: str) -> np.ndarray:
    """MFCC with first and second differences of every 20 ms frame: (samples,) -> (num_frames, 39). UserError: shorter than a frame."""
    frames = num_frames(len(audio))
    if not frames:
        raise UserError(f"{where}: {len(audio)} samples are shorter than one frame ({FRAME} samples): remove the utterance")
    static = mfcc(audio)
    first = deltas(static)
    return np.concatenate([static, first, deltas(first)], 1)[::2][:frames]
