"""Where jobs run: on this machine, or on a Slurm cluster with options of sbatch for each kind of job."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass

from asrlib.utils.cli import assignments
from asrlib.utils.errors import UserError

KINDS = ("array", "training", "gpu")
OURS = ("array", "error", "job_name", "nodes", "ntasks", "ntasks_per_node", "output", "signal", "wrap")  # options that this project sets
HELP = (
    'options of sbatch for --cmd_backend slurm, "partition=cpu time=4:00:00 mem=8G training.time=3-0 gpu.partition=a100 gpu.gres=gpu:1": those that '
    "begin with array. (jobs over many files), training. (MindSpore and what follows) or gpu. (ESPnet on cards) are for jobs of that kind alone"
)


@dataclass(frozen=True)
class Backend:
    """Where jobs run. name: "local" or "slurm"; slurm_args: "key=value" or "kind.key=value"; kind: of the jobs; nodes: machines of each job."""

    name: str = "local"
    slurm_args: Sequence[str] = ()
    kind: str = "array"
    nodes: int = 1

    @property
    def slurm(self) -> bool:
        """Whether jobs are submitted. UserError: an unknown backend."""
        if self.name not in ("local", "slurm"):
            raise UserError(f"--cmd_backend {self.name!r}: choose local or slurm")
        return self.name == "slurm"

    def options(self) -> dict[str, str | bool]:
        """Long options of sbatch, with _ for -, for jobs of this kind: without a time limit, sbatch takes that of the partition.

        Slurm starts no job again from its beginning unless requeue=true asks for it. UserError: no such kind, or an option that is set here.
        """
        common, own = dict[str, str | bool](), dict[str, str | bool]()
        for word in self.slurm_args:
            found = re.fullmatch(r"(?:(\w+)\.)?([A-Za-z][\w-]*)=(.*)", word, re.DOTALL)
            if not found:
                raise UserError(f"--slurm_args: {word!r} is not key=value or kind.key=value")
            kind, key, value = found[1], found[2].lower().replace("-", "_"), found[3]
            if kind and kind not in KINDS:
                raise UserError(f"--slurm_args: no kind of jobs {kind!r} in {word!r}: {', '.join(KINDS)}")
            if key in OURS:
                raise UserError(f"--slurm_args: {word!r}: this option of sbatch is set by the recipe (--nj, --ngpu, --num_nodes)")
            if not kind or kind == self.kind:
                (own if kind else common)[key] = {"true": True, "false": False}.get(value, value)
        options = {"no_requeue": True} | common | own
        if options.get("requeue"):
            options["no_requeue"] = False
        return {key: value for key, value in options.items() if value is not False}


LOCAL = Backend()


def add_backend(parser: argparse.ArgumentParser, what: str = "jobs run") -> None:
    """Adds --cmd_backend and --slurm_args."""
    parser.add_argument("--cmd_backend", choices=("local", "slurm"), default="local", help=f"where the {what}")
    parser.add_argument("--slurm_args", default="", type=assignments, help=HELP)


def backend(args: argparse.Namespace, kind: str = "array") -> Backend:
    """The chosen backend for jobs of this kind. UserError: as Backend.options."""
    chosen = Backend(args.cmd_backend, tuple(args.slurm_args), kind)
    chosen.options()
    return chosen
