"""Converts weights to the MindSpore network of a CTC model: those of its PyTorch twin, of NVIDIA's code, of NeMo and of the model zoo."""

import re
from pathlib import Path

from asrlib.config.ctc import TrainConfig
from asrlib.convert import jasper
from asrlib.convert.rules import converted, pytorch_name, to_mindspore, unwrapped
from asrlib.ms.checkpoint.old_checkpoints import from_zoo, is_zoo_checkpoint, without_optimizer
from asrlib.ms.models import make_network
from asrlib.utils.arrays import Arrays, save_arrays
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

# deepspeech.pytorch: a bias in the convolutions, batch normalisation before recurrent layers and projection
DEEPSPEECH_PYTORCH = re.compile(r"rnns\.\d+\.batch_norm\.|fc\.0\.module\.[01]\.|conv\.(seq_module\.)?\d+\.bias$")


def from_other(config: TrainConfig, vocab_size: int, arrays: Arrays, source: Path, target: Path) -> tuple[int, int]:
    """Converts the arrays of SOURCE, whose output layer has one row per token, to TARGET; returns the numbers of tensors and parameters.

    UserError: see asrlib.convert.rules.converted; deepspeech.pytorch's network, which is another one.
    """
    network = make_network(config, vocab_size)
    shapes = {p.name: tuple(p.shape) for p in network.get_parameters()}
    parameters = sum(p.size for p in network.trainable_params())
    arrays = _converted(config.model, arrays, shapes, str(source))
    save_arrays(target, arrays, {"source": source.name})
    return len(arrays), parameters


def _converted(model: str, arrays: Arrays, shapes: dict[str, tuple[int, ...]], where: str) -> Arrays:
    arrays = unwrapped(unwrapped(arrays, shapes), [pytorch_name(name) for name in shapes])
    if arrays.keys() == shapes.keys():  # of this project, from MindSpore
        return converted(arrays, str, shapes, where)
    if model == "jasper" and not any(name.startswith("blocks.") for name in arrays):
        kept, names = jasper.recognised(without_optimizer(arrays), shapes, where)
        return converted(kept, lambda name: names.get(name, name), shapes, where)
    if model == "deepspeech2" and any(map(DEEPSPEECH_PYTORCH.search, arrays)):
        raise UserError(
            f"{where}: a model of deepspeech.pytorch: its activations (hard tanh) and its batch normalisation between the recurrent layers are "
            "not those of this project's DeepSpeech2, so its weights cannot be used"
        )
    if model == "deepspeech2" and is_zoo_checkpoint(arrays):
        found, names, aside = from_zoo(arrays, shapes, where)
        log.info("%s: %d arrays of the model zoo renamed, %d of the optimizer skipped", where, len(names), len(aside))
        return converted(found, str, shapes, where)
    return to_mindspore(arrays, shapes, where)
