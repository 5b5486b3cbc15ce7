"""Runs the cases of a benchmark, each in its own process, and writes a table and JSON.

All processes are set up first and warmed up by one repetition. Every round then times one repetition of each case, so that other load on the machine
affects all cases alike. Ratios are computed within each round; the median over the rounds is reported. With --load N each round times a second
repetition of each case beside N processes that never wait.
"""

import contextlib
import json
import os
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from asrlib.report.provenance import processor
from asrlib.utils.cli import Parser, boolean
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.parallel import end_with_parent

PACKAGES = ("mindspore", "torch", "torchaudio", "librosa", "numpy", "scipy", "flashlight-text")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Case:
    """make(*arguments) is called in the case's process and returns the function to time; `value` summarises its result as a number."""

    name: str
    make: Callable[..., Callable[[], Any]]
    arguments: tuple = ()
    value: Callable[[Any], float] = float
    rounds: int | None = None  # number of rounds to take part in; None: all
    env: dict[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """setup_seconds: imports, building, compilation and the first repetition, which also gives `value`; peak_mb: peak resident memory."""

    name: str
    setup_seconds: float
    value: float
    peak_mb: float = 0.0
    seconds: list[float] = field(default_factory=list)
    loaded_seconds: list[float] = field(default_factory=list)  # beside busy processes

    @property
    def loss(self) -> float:
        """How many times as long a repetition takes beside the busy processes."""
        return statistics.median(loaded / alone for loaded, alone in zip(self.loaded_seconds, self.seconds, strict=True))

    def over(self, other: "Result") -> float:
        """Ratio of this case's time to the other's."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.seconds, other.seconds, strict=False))


@dataclass(frozen=True)
class Bar:
    """The target of a ratio: at most or at least `limit`."""

    what: str
    ratio: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


def parser(doc: str, cases: Sequence[str], repeats: int) -> Parser:
    """The options of every benchmark."""
    options = Parser(doc)
    options.add_argument("--cases", default=",".join(cases), help="cases to time; ratios are relative to the first")
    options.add_argument("--repeats", type=int, default=repeats, help="number of rounds")
    options.add_argument("--load", type=int, default=0, help="number of busy processes beside a second measurement of every round")
    options.add_argument("--strict", type=boolean, default=False, help="end with exit code 1 if a target is missed")
    options.add_argument("--out", type=Path, help="JSON file for all results")
    return options


def chosen(cases: Sequence[Case], names: str) -> list[Case]:
    """The cases of --cases, in its order."""
    known = {case.name: case for case in cases}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise UserError(f"--cases: no case {unknown[0]!r}; cases: {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def measure(cases: Sequence[Case], repeats: int, load: int = 0) -> dict[str, Result]:
    """Times the cases in `repeats` rounds. UserError when a case fails; its own output is printed before."""
    with contextlib.ExitStack() as stack:
        processes, busy = {}, stack.enter_context(_Busy(load))
        for case in cases:
            print(f"setting up {case.name}", file=sys.stderr)
            processes[case.name] = stack.enter_context(_Process(case))
        for number in range(repeats):
            print(f"round {number + 1} of {repeats}", file=sys.stderr)
            for case in cases:
                if case.rounds is None or number < case.rounds:
                    processes[case.name].repeat()
                    if load:
                        with busy.running():
                            processes[case.name].repeat(loaded=True)
        return {name: process.result for name, process in processes.items()}


class _Process:
    """The process of a case. It is stopped (SIGSTOP) while others are timed, because thread pools may spin."""

    def __init__(self, case: Case):
        context = get_context("spawn")
        self.case = case
        self.pipe, child = context.Pipe()
        self.process = context.Process(target=_serve, args=(child, case, os.getpid()), daemon=True)
        with _environment(case.env):
            self.process.start()
        child.close()
        self.result = Result(case.name, *self._receive())
        self._signal(signal.SIGSTOP)

    def repeat(self, loaded: bool = False) -> None:
        self._signal(signal.SIGCONT)
        self.pipe.send(None)
        seconds, self.result.peak_mb = self._receive()
        (self.result.loaded_seconds if loaded else self.result.seconds).append(seconds)
        self._signal(signal.SIGSTOP)

    def _receive(self) -> tuple[float, float]:
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join()
            raise UserError(f"case {self.case.name} ended with exit code {self.process.exitcode}") from None

    def _signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()


class _Busy:
    """Processes that never wait. They are stopped (SIGSTOP) but for the time of `running`."""

    def __init__(self, count: int):
        context = get_context("spawn")
        self.processes = [context.Process(target=_spin, args=(os.getpid(),), daemon=True) for _ in range(count)]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        yield
        self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        for process in self.processes:
            os.kill(process.pid, number)

    def __enter__(self):
        for process in self.processes:
            process.start()
        self._signal(signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.join()


def _spin(parent: int) -> None:
    end_with_parent(parent)
    while True:
        pass


def _serve(pipe, case: Case, parent: int) -> None:
    """Sends setup seconds and value, then answers every message with the seconds of one repetition and the peak memory."""
    end_with_parent(parent)  # a stopped process would stay for ever
    try:
        begin = time.perf_counter()
        repetition = case.make(*case.arguments)
        value = case.value(repetition())
        pipe.send((time.perf_counter() - begin, value))
        while True:
            pipe.recv()
            begin = time.perf_counter()
            repetition()
            pipe.send((time.perf_counter() - begin, _peak_mb()))
    except EOFError:  # the parent has ended
        pass
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # thread pools would block a normal exit


def _peak_mb() -> float:
    """Peak resident memory of this process; getrusage would include that of the process it was forked from."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@contextlib.contextmanager
def _environment(env: dict[str, str]) -> Iterator[None]:
    """Sets the variables of a case, and unsets the limit on oneDNN's instruction sets that the shell may have."""
    before = dict(os.environ)
    os.environ.pop("ONEDNN_MAX_CPU_ISA", None)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def table(results: dict[str, Result], value: str, audio_seconds: float = 0.0) -> str:
    """One line per case: median, range, ratio to the first case, peak memory and its ratio; real-time factor; how many times as long under load."""
    first = next(iter(results.values()))
    rows = [["case", "seconds", "min", "max", "times first", "peak MB", "times first", "setup s", value, "real-time factor", "under load"]]
    for result in results.values():
        median = statistics.median(result.seconds)
        row = [result.name, f"{median:.4g}", f"{min(result.seconds):.4g}", f"{max(result.seconds):.4g}", f"{result.over(first):.3f}"]
        row += [f"{result.peak_mb:.0f}", f"{result.peak_mb / first.peak_mb:.2f}", f"{result.setup_seconds:.1f}", f"{result.value:.4g}"]
        rows.append([*row, f"{median / audio_seconds:.6f}" if audio_seconds else "-", f"{result.loss:.2f}" if result.loaded_seconds else "-"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]) for row in rows)


def report_bars(bars: Sequence[Bar], strict: bool) -> None:
    """Prints each ratio with its target. UserError: strict, and one is missed."""
    for bar in bars:
        print(f"{bar.what}: {bar.ratio:.3f}, {'at least' if bar.at_least else 'at most'} {bar.limit:g}: {'met' if bar.met else 'MISSED'}")
    if strict and (missed := sum(not bar.met for bar in bars)):
        raise UserError(f"{missed} of {len(bars)} targets missed")


def load_bar(ours: Result, other: Result) -> list[Bar]:
    """The target under load: ours may lose little more than the other."""
    return [Bar(f"what {ours.name} loses under load over what {other.name} loses", ours.loss / other.loss, 1.2)] if ours.loaded_seconds else []


def report(args, results: dict[str, Result], value: str, bars: Sequence[Bar] = (), audio_seconds: float = 0.0) -> None:
    """Prints the table and the targets, and writes everything to args.out."""
    print(table(results, value, audio_seconds))
    if args.out:
        facts = {
            "options": {name: str(option) for name, option in vars(args).items() if name != "out"},
            "machine": {"processor": processor(), "load": os.getloadavg()},
            "versions": {name: _version(name) for name in PACKAGES},
            "audio_seconds": audio_seconds,
            "results": [vars(result) | {"median": statistics.median(result.seconds), "value_is": value} for result in results.values()],
            "bars": [vars(bar) | {"met": bar.met} for bar in bars],
        }
        with atomic_write(args.out) as stream:
            json.dump(facts, stream, indent=1)
    report_bars(bars, args.strict)


def _version(package: str) -> str | None:
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return None
