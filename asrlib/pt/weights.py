"""Reading and assigning of PyTorch weights, without unpickling anything but tensors."""

from pathlib import Path

import torch
from torch import nn

from asrlib.convert.checkpoint_file import read_checkpoint
from asrlib.utils.arrays import Arrays
from asrlib.utils.errors import UserError


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name -> shape of parameters and buffers."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def read_weights(path: str | Path) -> Arrays:
    """Arrays of a .safetensors file, or of a torch.save file with a state. UserError: see asrlib.convert.checkpoint_file.read_checkpoint."""
    return read_checkpoint(path).arrays


def assign(model: nn.Module, arrays: Arrays, where: str | Path) -> nn.Module:
    """Sets the model's parameters and buffers to the arrays. UserError: missing or unexpected names, wrong shapes or types."""
    for name, tensor in model.state_dict().items():
        if name in arrays and torch.from_numpy(arrays[name]).dtype != tensor.dtype:
            raise UserError(f"{where}: not a checkpoint of this model: {name} is {arrays[name].dtype}, {tensor.dtype} is expected")
    try:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=True, assign=True)
    except RuntimeError as error:
        raise UserError(f"{where}: not a checkpoint of this model: {' '.join(str(error).split())[:300]}") from None
    return model.eval()
