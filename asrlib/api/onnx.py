"""A network in ONNX, computed by onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime

from asrlib.utils.errors import UserError


def load_onnx(path: Path):
    """The graph as a function of features (B, T, F) and their lengths (B,). UserError: the file is missing or no ONNX."""
    if not path.is_file():
        raise UserError(f"{path} is missing: export it (asrlib export --format onnx)")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise UserError(f"{path} cannot be read as ONNX ({' '.join(str(error).split())[:120]}): export it again") from None

    def run(feats: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores, counts = session.run(None, {"feats": feats, "lengths": lengths.astype(np.int64)})
        return scores, counts

    return run
