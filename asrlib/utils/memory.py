"""Memory: what the process holds, what there is, and giving back what is free."""

import ctypes


def release_memory() -> None:
    """Gives the freed parts of the heap back to the system, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
