"""Several processes that train one network on parts of every update (msrun): rank, size, and sums over all processes."""

import os
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init

from asrlib.utils.errors import UserError

BACKENDS = {"CPU": "mccl", "GPU": "nccl", "Ascend": "hccl"}


@dataclass(frozen=True)
class Ranks:
    """This process's number, how many there are, and how many of them on this machine."""

    rank: int = 0
    size: int = 1
    local: int = 1

    def folder(self, exp_dir: Path) -> Path:
        """Where this process writes what all of them write."""
        return exp_dir if self.rank == 0 else exp_dir / "ranks" / str(self.rank)

    def own(self, group: range) -> list[tuple[int, bool]]:
        """The batches of an update that this process computes, as many as every other one, and whether they count.

        Where too few are left, a process without one computes the last one for nothing.
        """
        return [(min(first + self.rank, group[-1]), first + self.rank <= group[-1]) for first in group[:: self.size]]

    def sum(self, values: np.ndarray | float) -> np.ndarray:
        """The sum of an array over all processes, which must all call this."""
        values = np.asarray(values, np.float32)
        return ops.AllReduce()(Tensor(values.reshape(-1))).asnumpy().reshape(values.shape) if self.size > 1 else values


def rate_factor(rule: str, processes: int) -> float:
    """What the learning rate is multiplied by where updates have as many times more batches."""
    return {"none": 1.0, "sqrt": processes**0.5, "linear": float(processes)}[rule]


class AverageStatistics(nn.Cell):
    """Puts the mean over all processes in the place of the moving statistics of batch normalisation, which each process keeps of its own batches."""

    def __init__(self, network: nn.Cell, processes: int):
        super().__init__(auto_prefix=False)
        self.statistics = ParameterTuple(p for p in network.get_parameters() if not p.requires_grad)
        self.reduce, self.share = ops.AllReduce(), 1.0 / processes

    def construct(self):
        done = ()
        for statistic in self.statistics:
            done += (ops.assign(statistic, self.reduce(statistic + 0.0) * self.share),)
        return done


def join(device: str) -> Ranks:
    """Joins the processes that msrun has started; alone without it. UserError: the others cannot be reached."""
    if "MS_ROLE" not in os.environ:
        return Ranks()
    try:
        init(BACKENDS[device])  # where the scheduler stays until all have ended
    except RuntimeError as error:
        raise UserError(f"msrun: the processes cannot reach each other: {str(error).splitlines()[0]}") from None
    ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.STAND_ALONE)  # gradients are summed by our own step
    return Ranks(get_rank(), get_group_size(), int(os.environ.get("ASRLIB_LOCAL_PROCESSES", get_group_size())))
