"""Simulation of a recording of synthesised speech: a room, a microphone, noise."""

import numpy as np

SAMPLE_RATE = 16000


def room_response(rng: np.random.Generator) -> np.ndarray:
    """Impulse response (n,) of a small room and a microphone, at 16 kHz.

    The direct sound, six early reflections within 30 ms and a tail of decaying noise: reverberation time 0.1-0.35 s, direct sound 5-15 dB above
    the rest; then a microphone that tilts the spectrum by a few dB.
    """
    rt60 = rng.uniform(0.1, 0.35)
    time = np.arange(int(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60)
    tail[: int(0.003 * SAMPLE_RATE)] = 0
    for delay in rng.uniform(0.003, 0.03, 6):
        tail[int(delay * SAMPLE_RATE)] += rng.choice([-1, 1]) * rng.uniform(2, 6)
    tail *= 10 ** (-rng.uniform(5, 15) / 20) / np.linalg.norm(tail)
    tail[0] = 1
    return np.convolve(tail, [1, rng.uniform(-0.5, 0.3)])


def reverberate(speech: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Speech (n,) convolved with the response (m,) of a room: (n + m - 1,)."""
    size = len(speech) + len(response) - 1
    fast = 1 << (size - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(speech, fast) * np.fft.rfft(response, fast), fast)[:size]


def coloured_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Noise (size,) of power 1 whose power falls with frequency as f^-a, a in 0..1.5: between hiss and the rumble of a street."""
    fast = 1 << (size - 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(fast))
    frequency = np.fft.rfftfreq(fast, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum * np.maximum(frequency, 50) ** (-rng.uniform(0, 1.5) / 2), fast)[:size]
    return noise / np.sqrt(np.mean(noise**2))


def record(speech: np.ndarray, response: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """A recording, int16 at 16 kHz, of speech (n,) in a room, with 0.1-0.4 s before and up to 0.3 s after it.

    snr: power of the reverberant speech above that of the noise in dB, both over the speech. The peak lies 3-12 dB below full scale.
    """
    heard = reverberate(speech, response)
    before, after = int(rng.integers(1600, 6400)), int(rng.integers(0, 4800))
    noise = coloured_noise(rng, before + len(heard) + after) * np.sqrt(np.mean(heard**2) / 10 ** (snr / 10))
    noise[before : before + len(heard)] += heard
    return np.round(noise * (32767 * 10 ** (-rng.uniform(3, 12) / 20) / np.max(np.abs(noise)))).astype(np.int16)
