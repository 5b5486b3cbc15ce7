"""Layer-by-layer differences between the outputs of one model in two frameworks."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

OUTPUT = re.compile(r"out(\d+)\.npy$")


@dataclass(frozen=True)
class LayerDifference:
    """relative: mean |ms - pt| / mean |ms| (the published measure); mean and maximum of |ms - pt|."""

    index: int
    relative: float
    mean: float
    maximum: float


def read_outputs(folder: str | Path) -> list[np.ndarray]:
    """The arrays *out0.npy, *out1.npy, ... of a folder, in the order of their numbers. UserError: a file is missing or not a plain array."""
    numbered = {int(m[1]): path for path in Path(folder).glob("*.npy") if (m := OUTPUT.search(path.name))}
    if not numbered:
        raise UserError(f"{folder}: no layer outputs (*out0.npy, *out1.npy, ...): write them with layer_outputs")
    missing = [i for i in range(max(numbered) + 1) if i not in numbered]
    if missing:
        raise UserError(f"{folder}: the output of layer {missing[0]} (*out{missing[0]}.npy) is missing")
    try:
        return [np.load(numbered[i], allow_pickle=False) for i in sorted(numbered)]
    except ValueError as error:
        raise UserError(f"{folder}: {error}") from None


def utterances_first(outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of a CTC model, (B, C, F, T) of convolutions and (T, B, D) of other layers, as (B, T, D)."""
    return [x.transpose(0, 3, 1, 2).reshape(x.shape[0], x.shape[3], -1) if x.ndim == 4 else x.swapaxes(0, 1) for x in outputs]


def differences(ms_outputs: list[np.ndarray], pt_outputs: list[np.ndarray], where: str) -> list[LayerDifference]:
    """One row per layer, computed in float64. UserError: different numbers of layers, different shapes, empty or non-finite values."""
    if len(ms_outputs) != len(pt_outputs):
        raise UserError(f"{where}: {len(ms_outputs)} layers from MindSpore, {len(pt_outputs)} from PyTorch")
    rows = []
    for i, (a, b) in enumerate(zip(ms_outputs, pt_outputs, strict=True)):
        if a.shape != b.shape:
            raise UserError(f"{where}: layer {i}: shape {a.shape} from MindSpore, {b.shape} from PyTorch")
        for framework, output in (("MindSpore", a), ("PyTorch", b)):
            if not (output.size and np.isfinite(output).all()):
                raise UserError(f"{where}: layer {i}: {framework}'s output is empty or not finite")
        a, distance = a.astype(np.float64), np.abs(a.astype(np.float64) - b.astype(np.float64))
        mean, size = float(distance.mean()), float(np.abs(a).mean())
        rows.append(LayerDifference(i, mean / size if size else math.inf if mean else 0.0, mean, float(distance.max())))
    return rows


def write_table(rows: list[LayerDifference], out: str | Path, **facts) -> str:
    """Writes OUT/table.txt (`index value`) and OUT/result.json; returns the text of the table."""
    text = "".join(f"{row.index} {row.relative:.10g}\n" for row in rows)
    with atomic_write(Path(out) / "table.txt") as stream:
        stream.write(text)
    with atomic_write(Path(out) / "result.json") as stream:
        json.dump(facts | {"layers": [vars(row) for row in rows], "worst": max(row.relative for row in rows)}, stream, indent=1)
    return text
