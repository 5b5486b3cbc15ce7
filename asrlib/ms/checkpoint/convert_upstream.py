"""Converts a HuBERT, wav2vec 2.0 or ProgRE of PyTorch, fairseq, s3prl or transformers to the MindSpore network."""

from pathlib import Path

import numpy as np

from asrlib.config.pretraining import PretrainConfig
from asrlib.convert.checkpoint_file import Checkpoint
from asrlib.convert.packages import PRETRAINING
from asrlib.convert.pretrained import configured, describe
from asrlib.convert.rules import converted, pytorch_name, reversed_rule
from asrlib.ms.models import make_network
from asrlib.utils.arrays import Arrays, save_arrays
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def from_other(
    found: Checkpoint, given: PretrainConfig | None, default: PretrainConfig | None, source: Path, out: Path
) -> tuple[PretrainConfig, int, int, int]:
    """Writes OUT/model.safetensors; returns its configuration and the numbers of tensors, of parameters, and of arrays of the file left aside.

    given, default: see asrlib.convert.pretrained.configured. What is not part of the network, such as the head of a fine-tuned model, is named in
    the log. UserError: see `describe`, `configured` and asrlib.convert.rules.converted.
    """
    model = describe(found, str(source))
    config = configured(model, given, default, str(source))
    if model.aside:
        log.info("%s: left aside, because they are not part of the pretrained network: %s", source, ", ".join(model.aside))
    return (config, *_convert(config, {name: found.arrays[name] for name in model.names}, model.names, source, out), len(model.aside))


def _convert(config: PretrainConfig, arrays: Arrays, common: dict[str, str], source: Path, out: Path) -> tuple[int, int]:
    """common: name in the file -> name in the PyTorch twin.

    Heads of pretraining that the checkpoint lacks are initialised from the seed, with a warning. Additional axes of length 1, as in published
    MindSpore checkpoints, are removed.
    """
    network = make_network(config)
    own = {p.name: p for p in network.get_parameters()}
    twins = reversed_rule(pytorch_name, own)
    names = {name: twins[twin] for name, twin in common.items() if twin in twins}
    drawn = [name for name in own if name.startswith(PRETRAINING) and name not in names.values()]
    target = {name: tuple(p.shape) for name, p in own.items() if name not in drawn}
    kept = {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}
    kept = {name: _without_excess(array, target.get(names.get(name, name))) for name, array in kept.items()}
    found = converted(kept, lambda name: names.get(name, name), target, str(source))
    if drawn:
        log.warning("%s: missing %s: initialised from the seed", source, ", ".join(drawn))
    save_arrays(out / "model.safetensors", found | {name: own[name].asnumpy() for name in drawn}, {"source": source.name})
    return len(found), sum(p.size for p in network.trainable_params())


def _without_excess(array: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray:
    """The array, without axes of length 1 that the shape does not have; unchanged if it differs otherwise."""
    if shape is not None and array.ndim > len(shape) and [n for n in array.shape if n != 1] == [n for n in shape if n != 1]:
        return array.reshape(shape)
    return array
