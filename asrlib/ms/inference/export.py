"""Exports a trained CTC model as MindIR with dynamic batch and time axes, and compares the loaded file with the network."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from asrlib.ms.inference.acoustic import AcousticModel
from asrlib.ms.kernels import plain_operators
from asrlib.ms.layers.common import tanh
from asrlib.ms.layers.recurrent import Recurrent
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_directory, working_in
from asrlib.utils.log import get_logger

log = get_logger(__name__)

FRAMES = (150, 97)  # lengths for the comparison


def export(exp_dir: Path, out: Path, tolerance: float = 1e-5) -> float:
    """Writes OUT/model.mindir: (feats (B, T, F), lengths (B,) int32) -> log-probabilities (B, T', V), lengths.

    More than 1 GB of weights lie in a folder beside it, model_variables.

    Returns the largest difference between the loaded graph and the network, over the largest output, on batches of two lengths: the graph has plain
    operators, the network compiled kernels, so that float32 rounds differently. UserError: it is more than `tolerance`.
    """
    model = AcousticModel.load(exp_dir)
    with plain_operators():
        portable = AcousticModel.load(exp_dir)
    for _, cell in portable.network.cells_and_names():
        if isinstance(cell, Recurrent) and cell.kind != "lstm":
            cell.plain = AnyLength(cell.kind, cell.plain.hidden_size)
    dim, any_size = model.config.features.dim, None
    inputs = Tensor(shape=(any_size, any_size, dim), dtype=ms.float32), Tensor(shape=(any_size,), dtype=ms.int32)
    with atomic_directory(out) as folder:
        path = folder / "model.mindir"
        with working_in(folder):  # MindSpore rejects paths with special characters, such as = in the name of an experiment
            ms.export(portable.step, *inputs, file_name=path.name, file_format="MINDIR")
            _name_as_one(Path(path.name))
            graph = nn.GraphCell(ms.load(path.name))
        graph.set_inputs(*inputs)  # compiled once for all lengths
        worst = float(np.max([_difference(model.step, graph, frames, dim) for frames in FRAMES]))  # nan if any is nan
        if not worst <= tolerance:
            raise UserError(f"{out}: the exported graph differs from the network by {worst:.3g} of its largest output, more than {tolerance:g}")
    log.info("%s: equal to the network within %.2g of its largest output for %s frames", out / path.name, worst, " and ".join(map(str, FRAMES)))
    return worst


def _name_as_one(path: Path) -> None:
    """Gives a graph of more than 1 GB, whose weights MindSpore writes to a folder beside it (model_variables), the name of any other."""
    graph = path.with_name(f"{path.stem}_graph.mindir")
    if graph.exists():
        graph.rename(path)
        weights = path.with_name(f"{path.stem}_variables")
        weights.chmod(0o755)
        for part in weights.iterdir():
            part.chmod(0o644)
    path.chmod(0o644)


class AnyLength(nn.Cell):
    """One direction of a GRU or RNN in MindSpore's own operators, for any number of frames. Holds no parameters.

    It replaces the compiled kernel (asrlib.ms.layers), which is not available where the exported graph will run.
    """

    def __init__(self, kind: str, hidden_size: int):
        super().__init__()
        self.kind, self.hidden_size = kind, hidden_size
        self.project, self.shape = ops.MatMul(transpose_b=True), ops.TensorShape()

    def construct(self, x, w_ih, w_hh, b_ih, b_hh):
        """x (T, B, input) -> (T, B, hidden), from a zero state."""
        gates = self.project(x.reshape(-1, x.shape[2]), w_ih).reshape(x.shape[0], x.shape[1], -1) + b_ih
        h = ops.zeros((x.shape[1], self.hidden_size), ms.float32)
        y = ops.zeros((x.shape[0], x.shape[1], self.hidden_size), ms.float32)
        t = Tensor(0, ms.int64)
        while t < self.shape(x)[0]:
            of_input, recurrent = ops.gather(gates, t, 0), self.project(h, w_hh) + b_hh
            if self.kind == "gru":
                r_x, z_x, n_x = ops.split(of_input, self.hidden_size, axis=-1)
                r_h, z_h, n_h = ops.split(recurrent, self.hidden_size, axis=-1)
                z = ops.sigmoid(z_x + z_h)
                h = (1 - z) * tanh(n_x + ops.sigmoid(r_x + r_h) * n_h) + z * h
            else:
                h = tanh(of_input + recurrent)
            y = ops.tensor_scatter_update(y, t.reshape(1, 1), h.expand_dims(0))
            t = t + 1
        return y


def _difference(step: nn.Cell, graph: nn.Cell, frames: int, dim: int) -> float:
    rng = np.random.default_rng(frames)
    feats = Tensor(rng.standard_normal((2, frames, dim)).astype(np.float32))
    lengths = Tensor(np.array([frames, frames // 2], np.int32))
    (mine, my_lengths), (theirs, their_lengths) = step(feats, lengths), graph(feats, lengths)
    if (my_lengths.asnumpy() != their_lengths.asnumpy()).any():
        return float("inf")
    return float(np.abs(mine.asnumpy() - theirs.asnumpy()).max() / np.abs(mine.asnumpy()).max())
