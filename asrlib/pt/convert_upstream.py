"""Conversion of a pretrained MindSpore model to its PyTorch twin and to packages for other toolkits."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from asrlib.config.pretraining import PretrainConfig
from asrlib.convert.rules import to_pytorch
from asrlib.pt.models import make_network
from asrlib.pt.packages import write_packages
from asrlib.pt.weights import shapes
from asrlib.utils.arrays import Arrays, save_arrays


def from_mindspore(config: PretrainConfig, arrays: Arrays, source: Path, out: Path) -> tuple[int, int]:
    """Writes OUT/model.safetensors and the packages; returns the numbers of tensors and parameters. UserError: as in convert.rules.converted."""
    with torch.device("meta"):  # only the shapes are needed
        model = make_network(config)
    twin = to_pytorch(arrays, shapes(model), str(source))
    with ThreadPoolExecutor() as pool:
        saved = pool.submit(save_arrays, out / "model.safetensors", twin, {"source": source.name})
        write_packages(config, arrays, out)
        saved.result()
    return len(twin), sum(p.numel() for p in model.parameters())
