"""MindSpore's profiler around a few updates of a training: a trace of their operators, and the dearest of them in the log."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mindspore.profiler import ProfilerActivity, profile, tensorboard_trace_handler

from asrlib.ms.training.trainer import Trainer
from asrlib.utils.log import get_logger

log = get_logger(__name__)

SKIPPED, UPDATES = 2, 10  # the first updates allocate memory; traces grow by MBs with every update
DEAREST = 10


@contextmanager
def profiling(trainer: Trainer, wanted: bool = True) -> Iterator[None]:
    """If wanted, profiles UPDATES updates of the training in the block, after the first SKIPPED, and writes the trace to exp_dir/profile."""
    if not wanted:
        yield
        return
    profiler = UpdateProfiler(trainer.exp_dir / "profile")
    trainer._update = profiler.around(trainer._update)  # type: ignore[method-assign]
    try:
        yield
    finally:
        profiler.finish()


class UpdateProfiler:
    """Starts MindSpore's profiler before an update and stops it after a later one."""

    def __init__(self, folder: Path):
        self.folder, self.updates, self.profiler, self.finished = folder, 0, None, False

    def around(self, update: Callable[..., None]) -> Callable[..., None]:
        """The update, profiled when it is due."""

        def counted(*args) -> None:
            if self.updates == SKIPPED:
                everything = [ProfilerActivity.CPU, ProfilerActivity.GPU, ProfilerActivity.NPU]
                self.profiler = profile(activities=everything, on_trace_ready=tensorboard_trace_handler(str(self.folder)))
                self.profiler.start()
            update(*args)
            self.updates += 1
            if self.updates == SKIPPED + UPDATES:
                self.finish()

        return counted

    def finish(self) -> None:
        """Writes the trace and logs its dearest operators, unless that is done."""
        if self.profiler is None:
            log.warning("--profile true: nothing profiled, because the training ended within its first %d updates", SKIPPED)
        elif not self.finished:
            self.finished = True
            self.profiler.stop()
            trace = max(self.folder.glob("*/*/trace_view.json"), key=lambda path: path.stat().st_mtime)
            for line in dearest(json.loads(trace.read_text()), self.updates - SKIPPED):
                log.info("%s", line)
            log.info("trace, for chrome://tracing, ui.perfetto.dev or MindStudio Insight: %s", trace)


def dearest(trace: list[dict], updates: int) -> list[str]:
    """Lines with the operators of a trace (Chrome's trace events) that took most time, on average per update."""
    milliseconds: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for event in trace:
        if event.get("ph") == "X" and event["args"].get("type") == "HostCpuOps":
            milliseconds[event["name"]] += float(event["dur"]) / 1000
            calls[event["name"]] += 1
    total = sum(milliseconds.values())
    found = sorted(milliseconds, key=lambda name: -milliseconds[name])[:DEAREST]
    lines = [f"the {len(found)} dearest of {len(milliseconds)} operators, of {total / updates:.1f} ms an update (mean of {updates} updates):"]
    for name in found:
        share, each = 100 * milliseconds[name] / total, milliseconds[name] / updates
        lines.append(f"{share:5.1f} % {each:9.2f} ms {calls[name] / updates:6.1f} calls  {name}")
    return lines
