"""Data-parallel training: ranks, the batches of each process, sums over all processes, and their statistics of batch normalisation."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init

from asrlib.ms.layers.norms import MOMENTUM
from asrlib.utils.errors import UserError

BACKENDS = {"CPU": "mccl", "GPU": "nccl", "Ascend": "hccl"}


@dataclass(frozen=True)
class Ranks:
    """Rank of this process, number of processes, and number of processes on this machine."""

    rank: int = 0
    size: int = 1
    local: int = 1

    def folder(self, exp_dir: Path) -> Path:
        """The folder for files that every process writes."""
        return exp_dir if self.rank == 0 else exp_dir / "ranks" / str(self.rank)

    def own_batches(self, group: range) -> list[tuple[int, bool]]:
        """The batches of an update that this process computes, and whether they count. All processes compute the same number.

        If too few are left, a process without a batch computes the last one, which does not count.
        """
        return [(min(first + self.rank, group[-1]), first + self.rank <= group[-1]) for first in group[:: self.size]]

    def sum(self, values: np.ndarray | float) -> np.ndarray:
        """The sum of an array over all processes, which must all call this."""
        values = np.asarray(values, np.float32)
        return ops.AllReduce()(Tensor(values.reshape(-1))).asnumpy().reshape(values.shape) if self.size > 1 else values


def rate_factor(rule: str, processes: int) -> float:
    """Factor of the learning rate for updates with `processes` times as many batches."""
    return {"none": 1.0, "sqrt": processes**0.5, "linear": float(processes)}[rule]


class JoinStatistics(nn.Cell):
    """Moves statistics of batch normalisation as one process does that computes the batches of all processes one after the other.

    statistics have moved from `former` towards a batch of this process. left (): weight that this has left of `former`; own (): weight of what it has
    added; rest (): weight that is left of `former` after the batches of all.
    """

    def __init__(self, statistics: Sequence[Parameter], former: Sequence[Parameter]):
        super().__init__(auto_prefix=False)
        self.statistics, self.former, self.reduce = ParameterTuple(statistics), ParameterTuple(former), ops.AllReduce()

    def construct(self, left, own, rest):
        done = ()
        for statistic, former in zip(self.statistics, self.former):  # noqa: B905  (a graph)
            done += (ops.assign(statistic, former * rest + self.reduce((statistic - former * left) * own)),)
        return done


def statistic_weights(moves: np.ndarray, rank: int) -> tuple[float, float, float]:
    """left, own and rest of JoinStatistics. moves (processes,): how often each has moved its statistics; 0: its batch does not count."""
    keep = 1.0 - MOMENTUM
    return float(keep ** moves[rank]), float((moves[rank] > 0) * keep ** moves[rank + 1 :].sum()), float(keep ** moves.sum())


def join(device: str) -> Ranks:
    """Joins the processes that asrlib.utils.launch (or msrun) has started; else a single process. UserError: the others cannot be reached."""
    if "MS_ROLE" not in os.environ:
        return Ranks()
    try:
        init(BACKENDS[device])  # the scheduler returns only when all processes have ended
    except RuntimeError as error:
        raise UserError(f"the processes cannot reach each other: {str(error).splitlines()[0]}") from None
    ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.STAND_ALONE)  # gradients are summed by our own step
    return Ranks(get_rank(), get_group_size(), int(os.environ.get("ASRLIB_LOCAL_PROCESSES", get_group_size())))
