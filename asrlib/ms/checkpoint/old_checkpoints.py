"""DeepSpeech2 checkpoints of MindSpore's model zoo, of any age, as arrays of our names.

Names differ between versions of the zoo's code and of MindSpore; the size of a packed weight shows on which device it was trained:
- convolutions `conv.conv1`, `conv.bn1`, `conv.conv2`, `conv.bn2`, or numbered in `conv.module_list` or `conv.seq_module`;
- recurrent layers under `RNN`, `rnn` or `rnns`: four weights with PyTorch's names (MindSpore >= 1.6),
  or one packed weight (MindSpore <= 1.5), gates i f g o:
  trained on CPU, the input weights of both directions, their recurrent weights, one bias for each (oneDNN);
  trained on GPU, the input and recurrent weights of one direction, those of the other, two biases for each (cuDNN's buffer);
- projection `fc.module.weight` or `fc.weight`, either directly or in a list.
Names of wrappers (`acoustic_model.`, `network.`, `_backbone.`) may precede all of these; optimizer states are skipped.
"""

import math
import re
from collections.abc import Mapping

import numpy as np

from asrlib.utils.arrays import Arrays
from asrlib.utils.errors import UserError

WRAPPERS = re.compile(r"^(?:(?:acoustic_model|network|_backbone|backbone|deepspeech|model)\.)+")
OPTIMIZER = re.compile(
    r"^(?:moment[12s]?|moments|adam_[mv]|accum|stat|first_moment|second_moment|gradient_sum)\.|"
    r"^(?:beta[12]_power|global_step|learning_rate|momentum|weight_decay|epoch_num|step_num|current_iterator_step|last_overflow_iterator_step|scale_sense)$"
)
LAYER = re.compile(r"^(?:RNN|rnns?)\.(?:lstms\.|rnns\.|layers\.)?(\d+)\.(?:\w+\.)?((?:weight|bias)_(?:ih|hh)_l0(?:_reverse)?)$")
PACKED = re.compile(r"^(?:RNN|rnns?)\.(?:weight_?(\d+)|(?:lstms\.|rnns\.|layers\.)?(\d+)\.(?:\w+\.)?weights?0?)$")
CONV = re.compile(r"^conv\.(conv[12]|bn[12])\.(.+)$")
NUMBERED = re.compile(r"^conv\.(?:module_list|seq_module)\.(\d+)\.(.+)$")


def is_zoo_checkpoint(arrays: Arrays) -> bool:
    """Whether the names are the model zoo's rather than ours."""
    return any(re.match(r"(conv\.|RNN\.|rnn\.|fc\.module)", WRAPPERS.sub("", name)) for name in arrays)


def without_optimizer(arrays: Arrays) -> Arrays:
    """The arrays without the states of MindSpore's optimizers."""
    return {name: array for name, array in arrays.items() if not OPTIMIZER.match(WRAPPERS.sub("", name))}


def from_zoo(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]], where: str) -> tuple[Arrays, dict[str, str], list[str]]:
    """Arrays under our names, our name -> name in the file, and the names of skipped optimizer states.

    shapes: name -> shape of the network's parameters. UserError: a packed weight whose size is another layer's, two arrays for one parameter.
    Names that match no rule are kept: the loader reports them as unused.
    """
    found: Arrays = {}
    origin: dict[str, str] = {}
    aside = []
    numbered = sorted({int(m[1]) for name in arrays if (m := NUMBERED.match(WRAPPERS.sub("", name)))})
    for full, array in arrays.items():
        name = WRAPPERS.sub("", full)
        if OPTIMIZER.match(name):
            aside.append(full)
            continue
        for ours, part in _rename(name, array, numbered, shapes, f"{where}: {full}"):
            if ours in found and not np.array_equal(found[ours], part):
                raise UserError(f"{where}: {origin[ours]} and {full} are both {ours} and differ")
            found[ours], origin[ours] = part, full
    return found, origin, aside


def _rename(name: str, array: np.ndarray, numbered: list[int], shapes: Mapping, where: str):
    if match := CONV.match(name):
        yield f"{match[1]}.{match[2]}", array
    elif match := NUMBERED.match(name):
        yield f"{('conv1', 'bn1', 'conv2', 'bn2')[numbered.index(int(match[1])) % 4]}.{match[2]}", array
    elif (match := PACKED.match(name)) and f"rnns.{match[1] or match[2]}.weight_ih_l0" in shapes:
        yield from _unpack(f"rnns.{match[1] or match[2]}.", array.reshape(-1), shapes, where)
    elif match := LAYER.match(name):
        yield f"rnns.{match[1]}.{match[2]}", array
    elif name in ("fc.module.weight", "fc.module.0.weight", "fc.0.weight", "fc.weight"):
        yield "fc.weight", array
    else:
        yield name, array


def _unpack(layer: str, packed: np.ndarray, shapes: Mapping, where: str):
    """The arrays of one layer's packed weight."""
    ways = [way for way in ("", "_reverse") if f"{layer}weight_ih_l0{way}" in shapes]
    gates = shapes[f"{layer}bias_ih_l0"][0]
    weights = sum(math.prod(shapes[f"{layer}weight_{kind}_l0{way}"]) for kind in ("ih", "hh") for way in ways)
    biases, rest = divmod(packed.size - weights, gates * len(ways))
    if rest or biases not in (1, 2):
        raise UserError(
            f"{where}: {packed.size} values; an LSTM of the model has {weights} and one or two biases of {gates} per direction: check model_conf"
        )
    if biases == 1:
        order = [f"{kind}_l0{way}" for kind in ("weight_ih", "weight_hh", "bias_ih") for way in ways]
    else:
        order = [f"{kind}_{of}_l0{way}" for kind in ("weight", "bias") for way in ways for of in ("ih", "hh")]
    position = 0
    for name in order:
        shape = shapes[layer + name]
        yield layer + name, packed[position : position + math.prod(shape)].reshape(shape)
        position += math.prod(shape)
    if biases == 1:
        yield from ((f"{layer}bias_hh_l0{way}", np.zeros(gates, packed.dtype)) for way in ways)
