"""Where speech is in a recording, by Silero's voice activity detector: the network in the package silero-vad (MIT), computed by onnxruntime.

The package itself is not imported: it imports PyTorch and limits its threads.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime
import soxr

from asrlib.utils.errors import UserError

RATE = 16000
FRAME, CONTEXT = 512, 64  # samples of a frame, and those before it that the network also takes
BLOCK = 512  # frames computed at once
BEGIN, GO_ON = 0.5, 0.35  # probabilities at which speech begins and below which it ends: Silero's defaults
PAUSE, MARGIN = 0.3, 0.2  # seconds: shorter pauses are speech; kept on both sides of speech


def speech(samples: np.ndarray, rate: int, longest: float) -> list[tuple[int, int]]:
    """Begin and end, in samples, of parts of speech of at most `longest` seconds; silence between them is left out.

    Neighbouring phrases are one part as long as they fit. A phrase that is longer by itself is cut where the network is least sure of speech, in the
    second half of what fits.
    """
    audio = samples if rate == RATE else soxr.resample(samples, rate, RATE)
    found = parts(probabilities(audio), longest * RATE / FRAME)
    ratio = rate * FRAME / RATE
    spans = [(round(begin * ratio), min(round(end * ratio), len(samples))) for begin, end in found]
    return [(begin, end) for begin, end in spans if begin < end]


def probabilities(audio: np.ndarray) -> np.ndarray:
    """The probability of speech (frames,) in every 512 samples of audio (samples,) at 16 kHz; the last frame is filled up with zeros."""
    session, frames = _session(), -(-len(audio) // FRAME)
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    found = [np.empty(0, np.float32)]
    for first in range(0, frames, BLOCK):
        last = min(first + BLOCK, frames)
        block = np.zeros(CONTEXT + (last - first) * FRAME, np.float32)  # the context of the first frame, then the frames
        begin = first * FRAME - CONTEXT
        piece = audio[max(0, begin) : last * FRAME]
        block[max(0, -begin) : max(0, -begin) + len(piece)] = piece
        rows = np.lib.stride_tricks.sliding_window_view(block, CONTEXT + FRAME)[::FRAME]
        values, hidden, cell = session.run(["speech_probs", "hn", "cn"], {"input": np.ascontiguousarray(rows), "h": hidden, "c": cell})
        found.append(values.reshape(-1))
    return np.concatenate(found)


def parts(probs: np.ndarray, longest: float) -> list[tuple[int, int]]:
    """Frames [begin, end) of parts of speech; longest: in frames."""
    pause, margin = PAUSE * RATE / FRAME, round(MARGIN * RATE / FRAME)
    joined: list[tuple[int, int]] = []
    for begin, end in _phrases(probs, pause):
        begin, end = max(0, begin - margin), min(len(probs), end + margin)
        if joined and (begin < joined[-1][1] or end - joined[-1][0] <= longest):  # margins may meet
            begin = joined.pop()[0]
        while end - begin > longest:
            first = begin + max(1, int(longest / 2))
            cut = first + int(np.argmin(probs[first : begin + int(longest)]))
            joined.append((begin, cut))
            begin = cut
        joined.append((begin, end))
    return joined


def _phrases(probs: np.ndarray, pause: float) -> list[tuple[int, int]]:
    """Frames [begin, end) of speech without pauses of that many frames."""
    found: list[tuple[int, int]] = []
    inside = False
    for frame, probability in enumerate(probs.tolist()):
        if not inside and probability >= BEGIN:
            inside = True
            found.append(((found.pop()[0] if found and frame - found[-1][1] < pause else frame), frame + 1))
        elif inside and probability >= GO_ON:
            found[-1] = (found[-1][0], frame + 1)
        else:
            inside = False
    return found


@functools.lru_cache(maxsize=1)
def _session() -> onnxruntime.InferenceSession:
    package = importlib.util.find_spec("silero_vad")
    if package is None or package.origin is None:
        raise UserError("voice activity detection needs the package silero-vad: run tools/setup.sh, or leave it out")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    file = Path(package.origin).parent / "data/silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
