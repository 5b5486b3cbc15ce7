"""Names from MindSpore to PyTorch and to the formats of other toolkits, and back; every array accounted for or refused.

The families are built twice with the same submodules (asrlib.ms.models, asrlib.pt.models), so that between the frameworks only the last word of a
name differs, and of a convolution's `kernel` the shape. Other toolkits' names follow by the regular expressions below.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from asrlib.utils.arrays import Arrays
from asrlib.utils.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]
Substitution = tuple[str, str | Callable[[re.Match[str]], str]]  # a regular expression and what takes the place of a match

KERNEL = "kernel"  # a convolution's weight as (width * inputs, outputs), PyTorch's is (outputs, inputs, width): what a product takes without a copy
LAST_WORDS = {KERNEL: "weight", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var", "embedding_table": "weight"}


def pytorch_name(name: str) -> str:
    """The PyTorch twin's name of a MindSpore parameter: bn1.gamma -> bn1.weight."""
    path, dot, last = name.rpartition(".")
    return path + dot + LAST_WORDS.get(last, last)


def to_pytorch(arrays: Arrays, target: Shapes, where: str) -> Arrays:
    """MindSpore arrays under the twin's names. target: name -> shape of what the twin expects.

    A counter of batches seen, which MindSpore does not have, is set to 0. UserError: see `converted`.
    """
    found = converted(arrays, pytorch_name, {n: s for n, s in target.items() if not n.endswith("num_batches_tracked")}, where)
    return found | {name: np.zeros(target[name], np.int64) for name in target if name.endswith("num_batches_tracked")}


def to_mindspore(arrays: Arrays, target: Shapes, where: str) -> Arrays:
    """A twin's arrays under MindSpore's names, without the counters of batches. target: name -> shape of what the network expects.

    UserError: see `converted`.
    """
    names = reversed_rule(pytorch_name, target)
    counters = {name.replace("moving_mean", "num_batches_tracked") for name in target if name.endswith("moving_mean")}
    kept = {name: array for name, array in arrays.items() if name not in counters}
    return converted(kept, lambda name: names.get(name, name), target, where)


def converted(arrays: Arrays, rename: Callable[[str], str], target: Shapes, where: str) -> Arrays:
    """Arrays under new names, exactly those of `target`.

    UserError: arrays missing, left over, of another shape or type than float32, not finite, or two that get one name; it names the first ones.
    """
    found: Arrays = {}
    faults = []
    for name, array in arrays.items():
        new = rename(name)
        array = _shaped(array, _last_word(name), _last_word(new), target.get(new, ()))
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


def _last_word(name: str) -> str:
    return name.rpartition(".")[2]


def _shaped(array: np.ndarray, word: str, new: str, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel as PyTorch's weight, the reverse, or the array as it is; where the sizes do not fit, too."""
    if word == KERNEL != new and array.size == np.prod(shape):
        return np.ascontiguousarray(array.reshape(shape[::-1]).T)
    if word != KERNEL == new and array.ndim == 3:
        return np.ascontiguousarray(array.T.reshape(-1, array.shape[0]))
    return array


def reversed_rule(rename: Callable[[str], str], names: Iterable[str]) -> dict[str, str]:
    """new name -> name, of a rule that gives every one of `names` a name of its own."""
    table = {rename(name): name for name in names}
    if len(table) != len(set(names)):
        raise ValueError("the rule gives two names one")
    return table


def substituted(rules: Iterable[Substitution]) -> Callable[[str], str]:
    """A renaming by regular expressions, applied in order; what takes a match's place is a text or made of the match."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def rename(name: str) -> str:
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        return name

    return rename
