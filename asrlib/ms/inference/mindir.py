"""An exported model (MindIR) run by MindSpore, without the network's code."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from asrlib.ms.device import use_device
from asrlib.ms.inference.binaries import Model
from asrlib.utils.errors import UserError
from asrlib.utils.files import working_in


def load_mindir(path: Path, device: str = "CPU", device_id: int = 0) -> Model:
    """The graph as a function of features (B, T, F) and their lengths (B,). UserError: the file is missing or no MindIR."""
    if not path.is_file():
        raise UserError(f"{path} is missing: run stage 4 (export)")
    use_device(device, None if device == "CPU" else device_id)
    with working_in(path.parent):  # MindSpore rejects paths with special characters
        try:
            graph = nn.GraphCell(ms.load(path.name))
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{path} cannot be read as MindIR ({str(error).splitlines()[0]}): export it again") from None
    compiled: set[int] = set()

    def run(feats: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not compiled:  # once for all lengths
            graph.set_inputs(Tensor(shape=(None, None, feats.shape[2]), dtype=ms.float32), Tensor(shape=(None,), dtype=ms.int32))
            compiled.add(feats.shape[2])
        scores, out_lengths = graph(Tensor(feats), Tensor(lengths))
        return scores.asnumpy(), out_lengths.asnumpy()

    return run
