"""An exported model (MindIR) run by MindSpore Lite, on machines that have it and no MindSpore (Ascend 310, edge devices)."""

from pathlib import Path

import mindspore_lite as mslite
import numpy as np

from asrlib.ms.inference.binaries import Model
from asrlib.utils.errors import UserError


def load_lite(path: Path, device: str = "CPU", device_id: int = 0) -> Model:
    """The graph as a function of features (B, T, F) and their lengths (B,). UserError: Lite cannot build it for this device."""
    if not path.is_file():
        raise UserError(f"{path} is missing: run stage 4 (export)")
    context = mslite.Context()
    context.target = [device.lower()]
    if device != "CPU":
        getattr(context, device.lower()).device_id = device_id
    model = mslite.Model()
    try:
        model.build_from_file(str(path), mslite.ModelType.MINDIR, context)
    except RuntimeError as error:
        raise UserError(f"MindSpore Lite cannot build {path} for {device} ({str(error).splitlines()[0]}): convert it with converter_lite") from None

    def run(feats: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = model.get_inputs()
        shapes = [list(feats.shape), list(lengths.shape)]
        if [list(tensor.shape) for tensor in inputs] != shapes:
            model.resize(inputs, shapes)
        for tensor, array in zip(inputs, (feats, lengths), strict=True):
            tensor.set_data_from_numpy(array)
        scores, out_lengths = (tensor.get_data_to_numpy() for tensor in model.predict(inputs))
        return scores, out_lengths

    return run
