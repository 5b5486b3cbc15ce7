"""The sound of an utterance inside the page: WAV at 16 kHz and the picture of its spectrogram, as data URIs."""

import base64
import io
from typing import NamedTuple

import matplotlib
import numpy as np
import soundfile

matplotlib.use("Agg")
from matplotlib import mlab  # noqa: E402  (the backend comes first)
from matplotlib import pyplot as plt  # noqa: E402

RATE = 16000
WINDOW = 256  # samples: 129 frequencies
HOP, WIDEST = 160, 1000  # samples; columns of the picture
RANGE = 70.0  # dB below the loudest


class Sound(NamedTuple):
    """audio, picture: data URIs."""

    seconds: float
    audio: str
    picture: str

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return len(self.audio) + len(self.picture)


def sound_of(samples: np.ndarray) -> Sound:
    """(samples,) float32 in [-1, 1] at RATE. WAV of 16 bits: Chromium fails to seek in short FLAC files, and then plays nothing."""
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    wav = io.BytesIO()
    soundfile.write(wav, pcm, RATE, format="WAV", subtype="PCM_16")
    picture = io.BytesIO()
    plt.imsave(picture, spectrogram(samples), cmap="magma", origin="lower", format="webp", pil_kwargs={"quality": 60})
    return Sound(len(samples) / RATE, _data_uri("audio/wav", wav), _data_uri("image/webp", picture))


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """(129, columns) in dB relative to the loudest, from -RANGE to 0; the highest frequency is the last row. Columns: of 10 ms, or WIDEST means."""
    padded = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    power = np.asarray(mlab.specgram(padded, NFFT=WINDOW, Fs=RATE, noverlap=WINDOW - HOP)[0])
    if power.shape[1] > WIDEST:
        power = np.stack([part.mean(axis=1) for part in np.array_split(power, WIDEST, axis=1)], axis=1)
    level = 10 * np.log10(np.maximum(power, 1e-20))
    return np.clip(level - level.max(), -RANGE, 0)


def _data_uri(kind: str, stream: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
