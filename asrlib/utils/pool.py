"""A function over many items in processes: results come in order, and only a few items wait for their turn."""

import itertools
import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.parallel import cores, end_with_parent

T = TypeVar("T")
R = TypeVar("R")
Note = tuple[str, int, str]  # what a process would have logged: module, level, message

FEW = 5000  # items for which processes, which take a second to start, are not worth it
_told = set[Note]()  # what has been logged of other processes
PART = 64  # items given to a process at once
AHEAD = 4  # parts that wait for each process


def mapped(function: Callable[[T], R], items: Iterable[T], count: int, nj: int = 0) -> Iterator[R]:
    """The results of function(item) in the order of the items; memory does not grow with their number.

    function: importable by name; items and results are pickled. Only the main thread of a program may call it, because of its processes. What the
    processes log is logged here, each message once. count: the number of items, of which fewer than FEW are shared between threads of this process,
    as they are inside a daemonic job. nj: processes, 0: one per core. UserError: a process was killed.
    """
    nj, waiting = nj or cores(), deque[Future[tuple[list[R], list[Note]]]]()
    alone = nj == 1 or count < FEW or multiprocessing.current_process().daemon
    executor: Executor = ThreadPoolExecutor() if alone else ProcessPoolExecutor(nj, multiprocessing.get_context("spawn"), _begin, (os.getpid(),))
    rest = iter(items)
    try:
        while True:
            while len(waiting) < AHEAD * max(nj, 2) and (part := list(itertools.islice(rest, 1 if alone else PART))):
                waiting.append(executor.submit(_run, function, part))
            if not waiting:
                return
            results, notes = waiting.popleft().result()
            for note in notes:
                if note not in _told:
                    _told.add(note)
                    get_logger(note[0]).log(note[1], "%s", note[2])
            yield from results
    except BrokenProcessPool:
        raise UserError("a process that reads the files was killed (out of memory?): run the command again, with more memory") from None
    finally:
        executor.shutdown(cancel_futures=True)


class _Notes(logging.Handler):
    """Keeps what a process logs for the one that started it."""

    def __init__(self):
        super().__init__()
        self.kept = list[Note]()

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append((record.name, record.levelno, record.getMessage()))


_notes = _Notes()


def _begin(parent: int) -> None:
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes of a terminal: the parent ends these
    get_logger("asrlib").handlers[:] = [_notes]


def _run(function: Callable[[T], R], part: list[T]) -> tuple[list[R], list[Note]]:
    results, notes = [function(item) for item in part], list(_notes.kept)
    _notes.kept.clear()
    return results, notes
