"""Converts the weights of a PyTorch twin to the MindSpore network of an experiment."""

from pathlib import Path

from asrlib.config.families import load_train_config
from asrlib.convert import jasper
from asrlib.convert.rules import converted, to_mindspore
from asrlib.ms.models import make_network
from asrlib.text.tokenizers import load_tokenizer
from asrlib.utils.arrays import Arrays, save_arrays


def from_pytorch(exp_dir: Path, arrays: Arrays, source: Path, target: Path) -> tuple[int, int]:
    """Converts the arrays of SOURCE to TARGET; returns the numbers of tensors and parameters. A Jasper may have NVIDIA's or NeMo's names.

    UserError: see asrlib.convert.rules.converted.
    """
    config = load_train_config(exp_dir / "config.yaml")
    network = make_network(config, len(load_tokenizer(exp_dir / "tokens.txt").tokens))
    shapes = {p.name: tuple(p.shape) for p in network.get_parameters()}
    parameters = sum(p.size for p in network.trainable_params())
    if config.model == "jasper" and not any(name.startswith("blocks.") for name in arrays):
        kept, names = jasper.recognised(arrays, shapes)
        arrays = converted(kept, lambda name: names.get(name, name), shapes, str(source))
    else:
        arrays = to_mindspore(arrays, shapes, str(source))
    save_arrays(target, arrays, {"source": source.name})
    return len(arrays), parameters
