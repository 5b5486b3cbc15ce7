"""Window functions of short-time spectra."""

import functools

import numpy as np

WINDOWS = {"hamming": np.hamming, "hann": np.hanning, "blackman": np.blackman}


@functools.lru_cache(maxsize=8)
def window(name: str, size: int, symmetric: bool = False) -> np.ndarray:
    """float32 (size,); equals scipy.signal.get_window(name, size, fftbins=not symmetric), whose package takes a second to import."""
    return (WINDOWS[name](size) if symmetric else WINDOWS[name](size + 1)[:-1]).astype(np.float32)
