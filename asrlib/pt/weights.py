"""Reading and assigning of PyTorch weights, without unpickling anything but tensors."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from asrlib.utils.arrays import Arrays, read_safetensors
from asrlib.utils.errors import UserError


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name -> shape of parameters and buffers."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def read_weights(path: str | Path) -> Arrays:
    """Arrays of a .safetensors file, or of a torch.save file with a state, bare or under "model", "state_dict" or "model_weight".

    UserError: the file is missing or damaged, or would run code when loaded.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path}: refused, because loading it could run code: save only tensors and plain values") from None
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged checkpoint: {str(error).splitlines()[0]}") from None
    for key in ("model", "state_dict", "model_weight"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: no model state found: save a dictionary of names and tensors")
    return {name: _array(tensor, f"{path}: {name}") for name, tensor in state.items()}


def _array(tensor: torch.Tensor, where: str) -> np.ndarray:
    try:
        return tensor.detach().numpy()
    except (TypeError, RuntimeError):  # bfloat16, quantised, sparse
        raise UserError(f"{where} is {tensor.dtype} ({tensor.layout}), float32 is expected") from None


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
