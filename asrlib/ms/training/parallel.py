"""Data-parallel training with msrun: ranks, the batches of each process, and sums over all processes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init

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


def is_statistic(parameter: Parameter) -> bool:
    """Whether a parameter of a network, or its moving average, is a moving statistic of batch normalisation."""
    return not parameter.requires_grad


class AverageStatistics(nn.Cell):
    """Averages moving statistics of batch normalisation, which each process keeps for its own batches, over all processes."""

    def __init__(self, statistics: Sequence[Parameter], processes: int):
        super().__init__(auto_prefix=False)
        self.statistics = ParameterTuple(statistics)
        self.reduce, self.share = ops.AllReduce(), 1.0 / processes

    def construct(self):
        done = ()
        for statistic in self.statistics:
            done += (ops.assign(statistic, self.reduce(statistic + 0.0) * self.share),)
        return done


def join(device: str) -> Ranks:
    """Joins the processes that msrun has started; without msrun, a single process. UserError: the others cannot be reached."""
    if "MS_ROLE" not in os.environ:
        return Ranks()
    try:
        init(BACKENDS[device])  # the scheduler returns only when all processes have ended
    except RuntimeError as error:
        raise UserError(f"msrun: the processes cannot reach each other: {str(error).splitlines()[0]}") from None
    ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.STAND_ALONE)  # gradients are summed by our own step
    return Ranks(get_rank(), get_group_size(), int(os.environ.get("ASRLIB_LOCAL_PROCESSES", get_group_size())))
