"""Progress with remaining time: a bar on a terminal, a line every few seconds in a log file."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
COMPILING = "compiling the graph for batches of {}"  # shown in the bar during compilation


def progress(iterable: Iterable[T] | None = None, desc: str = "", total: int | None = None, unit: str = "it", **kwargs) -> "tqdm":
    """A tqdm bar around `iterable` (without it, one to `update`): live on a terminal, otherwise one line every 10 s and at the end."""
    if sys.stderr.isatty():
        return tqdm(iterable, desc=desc, total=total, unit=unit, dynamic_ncols=True, **kwargs)
    kwargs.setdefault("position", 0)  # a bar inside another moves no cursor
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
    """Yields the items of `iterable` and shows progress."""
    yield from progress(iterable, desc=desc, total=total, unit=unit)
