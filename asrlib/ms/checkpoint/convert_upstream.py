"""Converts a HuBERT or ProgRE of PyTorch, fairseq, s3prl or transformers to the MindSpore network."""

from pathlib import Path

import numpy as np

from asrlib.config.pretraining import PretrainConfig
from asrlib.convert.packages import PRETRAINING, recognised
from asrlib.convert.rules import converted
from asrlib.ms.models import make_network
from asrlib.utils.arrays import Arrays, save_arrays
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def from_other(config: PretrainConfig, arrays: Arrays, source: Path, out: Path) -> tuple[int, int]:
    """Writes OUT/model.safetensors; returns the numbers of tensors and parameters.

    Heads of pretraining that the checkpoint lacks are initialised from the seed, with a warning. Additional axes of length 1, as in published
    MindSpore checkpoints, are removed. UserError: any other array missing, unused, of another shape or type, or not finite.
    """
    for name, array in arrays.items():
        if config.uses_speakers and name.endswith("spk_linear.weight"):
            config.model_conf.num_speakers = len(array)  # those of its training corpus
    network = make_network(config)
    own = {p.name: p for p in network.get_parameters()}
    names = recognised(arrays, config.model_conf, own)
    kept = {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}
    drawn = [name for name in own if name.startswith(PRETRAINING) and name not in names.values()]
    target = {name: tuple(p.shape) for name, p in own.items() if name not in drawn}
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
