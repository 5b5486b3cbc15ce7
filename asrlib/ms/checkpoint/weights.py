"""Reads and writes weights as safetensors and checks every name and shape. Reads MindSpore's .ckpt files, too."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from asrlib.convert.checkpoint_file import kind_of
from asrlib.utils.arrays import Arrays, read_safetensors
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)


@dataclass
class LoadReport:
    """The arrays of a checkpoint by result: loaded, reshaped scalars, missing, unused, mismatched."""

    loaded: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{len(self.loaded)} loaded, {len(self.reshaped)} reshaped, {len(self.missing)} missing, "
            f"{len(self.unused)} unused, {len(self.mismatched)} mismatched"
        )


def network_arrays(network: nn.Cell) -> Arrays:
    """Name -> array of every parameter of a network, moving statistics included."""
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


def load_arrays(path: str | Path) -> Arrays:
    """Arrays by name in a safetensors or MindSpore file of any name. UserError: missing, damaged, or another format (nothing is unpickled)."""
    kind = kind_of(path)
    if kind == "safetensors":
        return read_safetensors(path)
    if kind != "mindspore":
        raise UserError(f"{path}: a {kind} checkpoint; expected safetensors or MindSpore's")
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "weights.ckpt")  # MindSpore reads no other suffix
        link.symlink_to(Path(path).resolve())
        try:
            return {name: value.asnumpy() for name, value in ms.load_checkpoint(str(link)).items()}
        except (ValueError, RuntimeError, TypeError) as error:
            raise UserError(f"{path}: damaged checkpoint: {str(error).splitlines()[0]}") from None


def assign_arrays(parameters: list[Parameter], arrays: Arrays) -> LoadReport:
    """Copies arrays into parameters of the same name and shape; reports mismatches and leaves those parameters unchanged.

    A scalar of shape (1,) instead of (), or the reverse, is reshaped (older MindSpore); MindSpore's own loader would silently accept any shape.
    """
    report = LoadReport(unused=[name for name in arrays if name not in {p.name for p in parameters}])
    for parameter in parameters:
        array = arrays.get(parameter.name)
        if array is None:
            report.missing.append(parameter.name)
            continue
        shape = tuple(parameter.shape)
        if array.shape != shape and array.size == 1 and parameter.size == 1:
            array = array.reshape(shape)
            report.reshaped.append(parameter.name)
        if array.shape != shape:
            report.mismatched.append(f"{parameter.name}: file {array.shape}, model {shape}")
            continue
        wanted = np.dtype(ms.dtype_to_nptype(parameter.dtype))
        if array.dtype.kind != wanted.kind or not np.can_cast(array.dtype, wanted):
            report.mismatched.append(f"{parameter.name}: {array.dtype} in the file, {wanted} in the model")
            continue
        if not np.isfinite(array).all():
            report.mismatched.append(f"{parameter.name}: not finite")
            continue
        parameter.set_data(Tensor(array, parameter.dtype))
        report.loaded.append(parameter.name)
    return report


def require_complete(report: LoadReport, path: str | Path) -> None:
    """UserError unless every parameter of the model was loaded; unused arrays are only reported."""
    log.info("%s: %s", path, report)
    for what in ("missing", "unused", "mismatched"):
        for name in getattr(report, what):
            log.info("%s: %s: %s", path, what, name)
    if report.missing or report.mismatched:
        what = report.mismatched[0] if report.mismatched else f"{report.missing[0]} is missing"
        raise UserError(f"{path}: not a checkpoint of this model ({report}); first: {what}; check model_conf of the configuration")


def load_pretrained(network: nn.Cell, path: str | Path) -> LoadReport:
    """Loads a file of our weights into a network.

    UserError: weights of the model that are missing in the file. Unused arrays of the file are reported.
    """
    report = assign_arrays(list(network.get_parameters()), load_arrays(path))
    require_complete(report, path)
    return report


def average(files: list[Path]) -> Arrays:
    """The mean of several checkpoints, array by array, in float64."""
    total: dict[str, np.ndarray] = {}
    for path in files:
        for name, array in load_arrays(path).items():
            total[name] = total.get(name, 0) + array.astype(np.float64)
    return {name: (array / len(files)).astype(np.float32) for name, array in total.items()}
