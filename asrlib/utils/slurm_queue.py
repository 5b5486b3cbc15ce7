"""What Slurm says of jobs: their states, what they wait for, and how they ended; without accounting, too (squeue, then sacct where it answers)."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

LIVE = {"PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"}
ON_A_NODE = {"RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "SIGNALING", "STAGE_OUT", "STOPPED"}
# Reasons of pending that do not pass by themselves, by their beginning -> what to do
HOPELESS = {
    "PartitionTimeLimit": "give a shorter time=, or a partition= with a longer limit, in --slurm_args",
    "PartitionNodeLimit": "the partition has fewer nodes: lower --num_nodes, or give another partition= in --slurm_args",
    "PartitionDown": "give another partition= in --slurm_args",
    "PartitionInactive": "give another partition= in --slurm_args",
    "BadConstraints": "no node has what --slurm_args asks for",
    "InvalidAccount": "give account= in --slurm_args",
    "InvalidQOS": "give qos= in --slurm_args",
    "AssocMaxWall": "give a shorter time= in --slurm_args",
    "QOSMaxWall": "give a shorter time= in --slurm_args",
    "JobHoldMaxRequeue": "Slurm could not start it several times: see its nodes",
    "launch failed requeued held": "Slurm could not start it: see its nodes",
}
ENDINGS = {
    "TIMEOUT": "ran out of its time limit: give a longer time= in --slurm_args",
    "DEADLINE": "was not finished by its deadline",
    "OUT_OF_MEMORY": "ran out of memory: give more mem= in --slurm_args",
    "CANCELLED": "was cancelled by scancel",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "had no node that could start it",
    "PREEMPTED": "was preempted: requeue=true in --slurm_args lets Slurm start such jobs again",
    "FAILED": "failed",
    "COMPLETED": "ended without a result",
    "": "has left no result, and Slurm does not know it any more",
}


class Entry(NamedTuple):
    """A job in the queue. reason: of pending or of its end."""

    state: str
    reason: str = ""
    nodes: str = ""


def listed(name: str) -> dict[str, Entry] | None:
    """id -> entry of the jobs of this name in the queue, with those that ended some minutes ago. None: Slurm does not answer."""
    rows = _rows(["squeue", "--noheader", "--array", "--states=all", f"--name={name}", "--format=%i|%T|%r|%N"])
    return None if rows is None else {row[0]: Entry(*row[1:]) for row in rows if len(row) == 4}


def accounted(number: str) -> dict[str, Entry]:
    """id -> entry of the jobs of this number in the accounts, if there are any."""
    rows = _rows(["sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={number}", "--format=JobID,State,NodeList"]) or []
    return {row[0]: Entry(row[1].split()[0], "", row[2]) for row in rows if len(row) == 3 and row[1]}


def cancel(name: str) -> None:
    """Cancels all jobs of this name and waits until no node runs one. UserError: Slurm does not answer."""
    done = subprocess.run(["scancel", f"--name={name}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"jobs {name} could not be cancelled ({_line(done.stderr)}): run the same command again, or cancel them with scancel")
    told = False
    while running := [(number, entry) for number, entry in (listed(name) or {}).items() if entry.state in ON_A_NODE]:
        if not told:
            log.info("waiting until job %s has ended on %s", running[0][0], running[0][1].nodes)
        told = True
        time.sleep(0.5)


def waits_for(entries: Iterable[Entry]) -> str:
    """In words, what the pending jobs wait for: Slurm's reasons, and the nodes that are down or drained."""
    reasons = Counter(entry.reason for entry in entries if entry.state == "PENDING" and entry.reason not in ("None", "JobArrayTaskLimit"))
    if not reasons:
        return ""
    words = "; ".join(f"{count} for: {reason}" for reason, count in sorted(reasons.items()))
    down = [" ".join(row) for row in _rows(["sinfo", "--list-reasons", "--noheader", "--format=%N|(%T:|%E)"]) or []]
    return f"jobs wait in the queue, {words}" + (f"; nodes: {', '.join(down)}" if down else "")


def hopeless(entry: Entry) -> str:
    """Why a pending job would wait for ever, and what to do; else ""."""
    return next((f"waits for ever ({entry.reason}): {way}" for reason, way in HOPELESS.items() if entry.reason.startswith(reason)), "")


def ending(entry: Entry | None) -> str:
    """How a job ended, in words."""
    state = entry.state.partition(" ")[0] if entry else ""
    return ENDINGS.get(state, f"ended in state {state}") + (f" (on {entry.nodes})" if entry and entry.nodes else "")


def _rows(command: list[str]) -> list[list[str]] | None:
    """The lines of the output of a command of Slurm, split at `|`; None if it fails, as sacct without accounting."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [line.strip().split("|") for line in done.stdout.splitlines()] if done.returncode == 0 else None


def _line(text: str) -> str:
    return " ".join(text.split())[:200] or "no answer"
