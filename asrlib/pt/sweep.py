"""Parallel fine-tunings that differ in the upstream or in a few keys, each in a process and, where there are cards, on cards of its own."""

import contextlib
import dataclasses
import fcntl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from asrlib.config.systems import System
from asrlib.pt.device import choose
from asrlib.pt.finetune import DATA, Request, is_finished, register
from asrlib.utils.backend import LOCAL, Backend
from asrlib.utils.commands import run_command
from asrlib.utils.devices import VISIBLE
from asrlib.utils.errors import UserError
from asrlib.utils.former import StartOver
from asrlib.utils.log import get_logger
from asrlib.utils.memory import GB, available_memory
from asrlib.utils.parallel import cores, run_jobs

log = get_logger(__name__)

NO = StartOver()


def sweep(systems: Sequence[System], common: Request, log_dir: Path, nj: int, backend: Backend = LOCAL, start_over: StartOver = NO) -> None:
    """Fine-tunes every system, nj in parallel (0: one per core or, with cards, per common.ngpu of them); logs to log_dir/N.log, or with nj 1 to the
    terminal.

    Finished systems are skipped, interrupted ones resumed. common: settings of all systems; each adds its upstream, exp_dir and asr_args, which
    take precedence. UserError: an invalid system, or a missing card, before any fine-tuning starts, or the first fine-tuning that failed.
    """
    register()
    waiting = _unfinished(systems, common, start_over)
    places = Places() if backend.slurm else _places(common)  # on a cluster, each job sees its own cards
    processes = max(1, common.ngpu)
    nj = max(1, min(nj or len(places.cards) or (len(waiting) if backend.slurm else cores() // processes), len(waiting)))
    threads, memory_gb = 0, common.memory_gb  # on a cluster, each job has a share of a machine of its own
    if not backend.slurm:
        threads = max(1, cores() // (nj * processes))
        memory_gb = round((common.memory_gb or available_memory() / GB) / nj, 2)
    finished = len(systems) - len(waiting)
    log.info("%d fine-tunings, %d of them finished; %d in parallel%s", len(systems), finished, nj, f" with {threads} threads each" if threads else "")
    if places.cards:
        log.info("they take turns on the %s cards %s", places.kind, " | ".join(places.cards))
    jobs = []
    for system, request in waiting:
        resumed = (request.exp_dir / DATA).is_file() and not start_over.due(request.exp_dir)  # keeps its batches, unless a limit is given
        options = (request if resumed and common.memory_gb is None else dataclasses.replace(request, memory_gb=memory_gb)).options()
        words = ("finetune", [*options, "--force", start_over.word], threads, f"system {system.name}: ")
        jobs.append((places, nj, log_dir / "places", *words))
    run_jobs(run_in_place, jobs, log_dir, nj, backend, "fine-tuning")


def _unfinished(systems: Sequence[System], common: Request, start_over: StartOver) -> list[tuple[System, Request]]:
    """The systems to fine-tune. UserError: an invalid system."""
    waiting = []
    for system in systems:
        request = request_of(system, common)
        try:
            if start_over.due(request.exp_dir) or not is_finished(request):
                waiting.append((system, request))
        except UserError as error:
            raise UserError(f"system {system.name}: {error}") from None
    return waiting


@dataclasses.dataclass(frozen=True)
class Places:
    """Where fine-tunings run: on cards of a kind, whose numbers are divided into `cards`, or without cards on the CPU."""

    kind: str = "cpu"
    cards: tuple[str, ...] = ()


def _places(common: Request) -> Places:
    """The cards of this machine in groups of common.ngpu. UserError: as asrlib.pt.device.choose."""
    device = choose("cpu" if common.ngpu == 0 else common.device, common.ngpu)
    return Places(device.kind, () if device.kind == "cpu" else tuple(device.places(common.ngpu)))


def run_in_place(places: Places, count: int, locks: Path, name: str, options: Sequence[str], threads: int, label: str) -> None:
    """The job of a fine-tuning: run_command with the cards of a free one of `count` places, which jobs that run at once divide among them."""
    if not places.cards:
        run_command(name, options, threads, label)
        return
    with free_place(locks, count) as place:
        run_command(name, options, threads, label, {VISIBLE[places.kind]: places.cards[place % len(places.cards)]})


@contextlib.contextmanager
def free_place(locks: Path, count: int) -> Iterator[int]:
    """The number of a place that no other process has, from 0; it is free again after this context, or when the process ends."""
    locks.mkdir(parents=True, exist_ok=True)
    while True:
        for place in range(count):
            with open(locks / f"{place}.lock", "w") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield place
                return
        time.sleep(0.2)  # a job that has ended still has its place


def request_of(system: System, common: Request) -> Request:
    """The fine-tuning of one system."""
    overrides = (*common.overrides, *system.asr_args.split())
    return dataclasses.replace(common, overrides=overrides, exp_dir=system.exp_dir, upstream=system.upstream, upstream_model=system.checkpoint)
