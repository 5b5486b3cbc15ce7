"""Progress with time left: a bar on a terminal, a line now and then in a log file."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
COMPILING = "compiling the graph for batches of {}"  # what a bar says meanwhile


def progress(iterable: Iterable[T] | None = None, desc: str = "", total: int | None = None, unit: str = "it", **kwargs) -> "tqdm":
    """A tqdm bar around `iterable` (or a bare one to `update`): live on a terminal, one line every 10 s and at the end otherwise."""
    if sys.stderr.isatty():
        return tqdm(iterable, desc=desc, total=total, unit=unit, dynamic_ncols=True, **kwargs)
    return tqdm(iterable, desc=desc, total=total, unit=unit, file=_LineWriter(), mininterval=10.0, maxinterval=3600.0, ncols=100, **kwargs)


class _LineWriter:
    """Turns the carriage returns of a tqdm bar into lines, so that logs stay readable."""

    def write(self, text: str) -> int:
        line = text.replace("\r", "").rstrip()
        if line:
            sys.stderr.write(line + "\n")
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def each(iterable: Iterable[T], desc: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """`for x in each(xs, "what")`: the plain loop with progress."""
    yield from progress(iterable, desc=desc, total=total, unit=unit)
