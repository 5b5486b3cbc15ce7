"""Conversion of parameter names between MindSpore, PyTorch and other toolkits, with a check that every array is used.

Each model has the same submodules in both frameworks (asrlib.ms.models, asrlib.pt.models), so that only the last part of a name differs, and the
shape of a convolution's `kernel`. The names in other toolkits follow by regular expressions.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from asrlib.utils.arrays import Arrays
from asrlib.utils.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]
Substitution = tuple[str, str | Callable[[re.Match[str]], str]]  # a regular expression and its replacement

KERNEL = "kernel"  # a convolution's weight as (width * inputs, outputs), ready for a matrix product; PyTorch's is (outputs, inputs, width)
LAST_PARTS = {
    KERNEL: "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "embedding_table": "weight",
}


def pytorch_name(name: str) -> str:
    """The PyTorch twin's name of a MindSpore parameter: bn1.gamma -> bn1.weight."""
    path, dot, last = name.rpartition(".")
    return path + dot + LAST_PARTS.get(last, last)


def to_pytorch(arrays: Arrays, target: Shapes, where: str) -> Arrays:
    """MindSpore arrays with the twin's names. target: name -> shape that the twin expects.

    Batch counters (num_batches_tracked), which MindSpore lacks, are set to 0. UserError: see `converted`.
    """
    found = converted(arrays, pytorch_name, {n: s for n, s in target.items() if not n.endswith("num_batches_tracked")}, where)
    return found | {name: np.zeros(target[name], np.int64) for name in target if name.endswith("num_batches_tracked")}


def to_mindspore(arrays: Arrays, target: Shapes, where: str) -> Arrays:
    """A twin's arrays with MindSpore's names, without the batch counters. target: name -> shape that the network expects.

    UserError: see `converted`.
    """
    names = reversed_rule(pytorch_name, target)
    counters = {name.replace("moving_mean", "num_batches_tracked") for name in target if name.endswith("moving_mean")}
    kept = {name: array for name, array in arrays.items() if name not in counters}
    return converted(kept, lambda name: names.get(name, name), target, where)


def converted(arrays: Arrays, rename: Callable[[str], str], target: Shapes, where: str) -> Arrays:
    """Renamed arrays, with exactly the names of `target`.

    UserError: an array is missing, unexpected, duplicate, not finite, not float32 or of the wrong shape; the message names the first three.
    """
    found: Arrays = {}
    faults = []
    for name, array in arrays.items():
        new = rename(name)
        array = _reshaped(array, _last_part(name), _last_part(new), target.get(new, ()))
        if new in found:
            faults.append(f"{name} and another array both become {new}")
        elif new not in target:
            faults.append(f"{name} is in the file and not in the model")
        elif array.shape != tuple(target[new]):
            faults.append(f"{name} has shape {array.shape}, the model's {new} {tuple(target[new])}")
        elif array.dtype != np.float32:
            faults.append(f"{name} is {array.dtype}, float32 is expected")
        elif not np.isfinite(array).all():
            faults.append(f"{name} holds values that are not finite")
        found[new] = array
    faults += [f"{name} is not in the file" for name in target if name not in found]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise UserError(f"{where}: not a checkpoint of this model: {'; '.join(faults[:3])}{more}")
    return found


def unwrapped(arrays: Arrays, names: Collection[str]) -> Arrays:
    """The arrays without the name of a wrapper (`model.`, `module.`) if it precedes all `names` in the file."""
    first = next(iter(names), "")
    for name in arrays:
        wrapper = name.removesuffix(first)
        if wrapper.endswith(".") and wrapper != name and all(wrapper + other in arrays for other in names):
            return {name.removeprefix(wrapper): array for name, array in arrays.items()}
    return arrays


def output_layer(arrays: Arrays, layer: str, common: Callable[[str], str]) -> list[str]:
    """The names of the arrays of a layer, in a file where wrappers may precede it. common: name in the file -> name in the network."""
    inside = re.compile(rf"(^|\.){re.escape(layer)}\.")
    return [name for name in arrays if inside.search(common(name))]


def rows(arrays: Arrays, names: Iterable[str], where: str) -> int:
    """The number of rows that the arrays of a layer have. UserError: there are none, or they differ."""
    counts = {arrays[name].shape[_row_axis(name)] for name in names if arrays[name].ndim}
    if len(counts) != 1:
        raise UserError(f"{where}: {'its output layer has arrays of different sizes' if counts else 'it has no output layer of this model'}")
    return counts.pop()


def with_rows(arrays: Arrays, names: Iterable[str], order: Sequence[int]) -> Arrays:
    """The arrays; those of `names` with their rows in this order."""
    return arrays | {name: np.ascontiguousarray(arrays[name].take(order, _row_axis(name))) for name in names}


def _row_axis(name: str) -> int:
    return -1 if _last_part(name) == KERNEL else 0


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _reshaped(array: np.ndarray, old: str, new: str, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel in the shape of PyTorch's weight, or the reverse; any other array, and a kernel of the wrong size, unchanged."""
    if old == KERNEL != new and array.size == np.prod(shape):
        return np.ascontiguousarray(array.reshape(shape[::-1]).T)
    if old != KERNEL == new and array.ndim == 3:
        return np.ascontiguousarray(array.T.reshape(-1, array.shape[0]))
    return array


def reversed_rule(rename: Callable[[str], str], names: Iterable[str]) -> dict[str, str]:
    """New name -> name, for a rule that maps `names` to distinct new names."""
    table = {rename(name): name for name in names}
    if len(table) != len(set(names)):
        raise ValueError("the rule maps two names to the same new name")
    return table


def substituted(rules: Iterable[Substitution]) -> Callable[[str], str]:
    """A function that renames by regular expressions, applied in order; a replacement is a string or a function of the match."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def rename(name: str) -> str:
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        return name

    return rename
