"""Parallel fine-tunings that differ in the upstream or in a few keys, each in a process of its own."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from asrlib.config.systems import System
from asrlib.pt.finetune import DATA, Request, is_finished, register
from asrlib.utils.commands import run_command
from asrlib.utils.errors import UserError
from asrlib.utils.former import StartOver
from asrlib.utils.log import get_logger
from asrlib.utils.memory import GB, available_memory
from asrlib.utils.parallel import cores, run_jobs

log = get_logger(__name__)

NO = StartOver()


def sweep(systems: Sequence[System], common: Request, log_dir: Path, nj: int, backend: str = "local", start_over: StartOver = NO) -> None:
    """Fine-tunes every system, nj in parallel (0: as many as cores, with GPUs one); logs to log_dir/N.log, or with nj 1 to the terminal.

    Finished systems are skipped, interrupted ones resumed. common: settings of all systems; each adds its upstream, exp_dir and asr_args, which
    take precedence. UserError: an invalid system, before any fine-tuning starts, or the first fine-tuning that failed.
    """
    register()
    waiting = []
    for system in systems:
        request = request_of(system, common)
        try:
            if start_over.due(request.exp_dir) or not is_finished(request):
                waiting.append((system, request))
        except UserError as error:
            raise UserError(f"system {system.name}: {error}") from None
    nj = max(1, min(nj or (1 if common.ngpu else cores()), len(waiting)))
    threads = max(1, cores() // nj)
    memory_gb = round((common.memory_gb or available_memory() / GB) / nj, 2)
    finished = len(systems) - len(waiting)
    log.info("%d fine-tunings, %d of them finished; %d in parallel with %d threads each", len(systems), finished, nj, threads)
    jobs = []
    for system, request in waiting:
        resumed = (request.exp_dir / DATA).is_file() and not start_over.due(request.exp_dir)  # keeps its batches, unless a limit is given
        options = (request if resumed and common.memory_gb is None else dataclasses.replace(request, memory_gb=memory_gb)).options()
        jobs.append(("finetune", [*options, "--force", start_over.word], threads, f"system {system.name}: "))
    run_jobs(run_command, jobs, log_dir, nj, backend, "fine-tuning")


def request_of(system: System, common: Request) -> Request:
    """The fine-tuning of one system."""
    overrides = (*common.overrides, *system.asr_args.split())
    return dataclasses.replace(common, overrides=overrides, exp_dir=system.exp_dir, upstream=system.upstream, upstream_model=system.checkpoint)
