"""Curves of training, from history.jsonl (MindSpore) or train.log (ESPnet)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrlib.page.experiment import ASR_LOG, Experiment
from asrlib.page.parts import MOST_POINTS, Cell, Chart, Column, Series, Table, exponent, number
from asrlib.report.history import history_rows, thinned
from asrlib.report.plots import smoothed

Row = dict[str, float]
FEW = 60  # points of a curve that are drawn as marks
EPOCH = re.compile(r"(\d+)epoch results: \[train\] (.*?), \[valid\] (.*?)(?:, \[att_plot\].*)?$")
NUMBER = re.compile(r"(\w+)=(-?[\d.]+(?:e[-+]?\d+)?)(?=,|$)")


class Curve(NamedTuple):
    """A column of the rows, its name in the legend and what it is multiplied by."""

    key: str
    name: str
    factor: float = 1.0


class Plan(NamedTuple):
    """A chart of columns, which is drawn if a row has one of them."""

    name: str
    title: str
    y: str
    curves: Sequence[Curve]
    log: bool = False
    zero: bool = False


PLANS = (
    Plan("loss", "Loss", "loss", (Curve("loss", "training"), Curve("valid_loss", "validation")), log=True),
    Plan("error", "Error rates of the validation set", "%", (Curve("valid_wer", "WER"), Curve("valid_cer", "CER"),
         Curve("valid_cer_ctc", "CER, CTC")), zero=True),
    Plan("accuracy", "Accuracy", "%", (Curve("masked_accuracy", "masked frames, training", 100), Curve("acc", "training", 100),
         Curve("contrastive_accuracy", "contrast, training", 100), Curve("speaker_accuracy", "speakers, training", 100),
         Curve("valid_accuracy", "validation", 100), Curve("valid_acc", "validation", 100)), zero=True),
    Plan("perplexity", "Perplexity of the codewords", "perplexity", (Curve("code_perplexity", "training"),), zero=True),
    Plan("rate", "Learning rate", "learning rate", (Curve("learning_rate", "learning rate"),), zero=True),
    Plan("norm", "Norm of the gradient", "norm", (Curve("grad_norm", "gradient"),), log=True),
)  # fmt: skip
SHOWN = {  # columns of the table of validations, with what they are multiplied by
    "valid_loss": ("loss", 1), "valid_wer": ("WER (%)", 1), "valid_cer": ("CER (%)", 1), "valid_cer_ctc": ("CER, CTC (%)", 1),
    "valid_accuracy": ("accuracy (%)", 100), "valid_acc": ("accuracy (%)", 100), "blank_ratio": ("blanks (%)", 100),
    "peak_memory_gb": ("peak memory (GB)", 1),
}  # fmt: skip


def training_rows(experiment: Experiment) -> list[Row]:
    """Rows of updates and validations of a run; empty if it has not begun."""
    if experiment.kind == "finetuning":
        return espnet_rows(experiment.folder / ASR_LOG)
    return thinned(history_rows(experiment.folder), MOST_POINTS)


def espnet_rows(log: Path) -> list[Row]:
    """A row for each epoch in ESPnet's log, its last run counts; error rates in percent."""
    found = dict[int, Row]()
    if not log.is_file():
        return []
    with open(log, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if epoch := EPOCH.search(line.rstrip("\n")):
                train, valid = (dict(NUMBER.findall(part)) for part in epoch.groups()[1:])
                row = {name: float(train[name]) for name in ("loss", "acc", "grad_norm") if name in train}
                row |= {f"valid_{name}": float(value) for name, value in valid.items() if name in ("loss", "acc")}
                row |= {f"valid_{name}": 100 * float(value) for name, value in valid.items() if name in ("wer", "cer", "cer_ctc")}
                row |= {"learning_rate": float(train["optim0_lr0"])} if "optim0_lr0" in train else {}
                found[int(epoch[1])] = {"epoch": float(epoch[1]), **row}
    return [found[number] for number in sorted(found)]


def charts(runs: Sequence[tuple[str, list[Row]]], prefix: str) -> list[Chart]:
    """The charts of one or several runs in common axes. runs: (name, rows)."""
    every = [row for _, rows in runs for row in rows]
    axis = "update" if any("valid_accuracy" in row for row in every) else "epoch"  # pretraining counts updates
    found = []
    for plan in PLANS:
        series = [one for name, rows in runs for curve in plan.curves for one in _series(curve, rows, axis, name if len(runs) > 1 else "")]
        if series:
            found.append(Chart(f"{prefix}-{plan.name}", plan.title, axis, plan.y, series, plan.log, plan.zero))
    return found


def _series(curve: Curve, rows: Sequence[Row], axis: str, run: str) -> list[Series]:
    """None or one; of the many values of updates with their running mean, or in a comparison the running mean alone."""
    points = [(row[axis], row[curve.key] * curve.factor) for row in rows if axis in row and curve.key in row]
    if not points:
        return []
    x, y = zip(*points, strict=True)
    name = f"{run}: {curve.name}" if run else curve.name
    if len(points) < FEW or curve.key.startswith("valid_") or curve.key == "learning_rate":
        return [Series(name, x, y, "points" if curve.key.startswith("valid_") or len(points) < FEW else "line")]
    mean = Series(f"{name}, running mean", x, smoothed(np.array(y)).tolist())
    return [mean] if run else [mean, Series(name, x, y, "faint")]


def validations(rows: Sequence[Row], name: str, title: str) -> Table | None:
    """The values of every validation; None before the first."""
    valid = [row for row in rows if "valid_loss" in row]
    keys = [key for key in SHOWN if any(key in row for row in valid)]
    if not valid:
        return None
    updates = ["update"] if "update" in valid[0] else []
    columns = [Column("epoch", True), *(Column(key, True) for key in updates), *(Column(SHOWN[key][0], True) for key in keys)]
    cells = [
        [number(row["epoch"], 0 if float(row["epoch"]).is_integer() else 2), *(number(row[key], 0) for key in updates),
         *(_value(row, key) for key in keys)]
        for row in valid
    ]  # fmt: skip
    return Table(name, title, columns, cells)


def _value(row: Row, key: str) -> Cell:
    name, factor = SHOWN[key]
    if key not in row:
        return number(None)
    return exponent(row[key]) if name == "loss" else number(factor * row[key], 2)
