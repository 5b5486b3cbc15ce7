"""Plots of layers: comparison of two frameworks, layer weights of a fine-tuned model."""

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from asrlib.report.plots import save_figure
from asrlib.utils.files import atomic_write

LONGEST = 1500  # frames drawn


def plot_layers(ms_outputs: Sequence[np.ndarray], pt_outputs: Sequence[np.ndarray], path: Path) -> None:
    """One row per layer: MindSpore's output, PyTorch's, |difference|. Arrays (B, T, D); the first utterance is drawn, time on the x axis."""
    figure, axes = plt.subplots(len(ms_outputs), 3, figsize=(18, 2.4 * len(ms_outputs)), layout="constrained", squeeze=False)
    for i, (a, b) in enumerate(zip(ms_outputs, pt_outputs, strict=True)):
        a, b = (x.reshape(-1, *x.shape[-2:])[0, :LONGEST].T for x in (a, b))
        low, high = np.percentile(a, [1, 99])
        for axis, image, title in zip(axes[i], (a, b, np.abs(a - b)), (f"MindSpore {i}", f"PyTorch {i}", f"|difference| {i}"), strict=True):
            limits = {"vmin": low, "vmax": high} if not title.startswith("|") else {}
            shown = axis.imshow(image, aspect="auto", origin="lower", cmap="viridis", interpolation="nearest", **limits)
            axis.set_title(title, fontsize=9)
            figure.colorbar(shown, ax=axis, format="%.1e" if title.startswith("|") else None)
    axes[-1][0].set_xlabel("frame")
    save_figure(figure, path, dpi=60)


def plot_layer_weights(weights: np.ndarray, path: Path) -> None:
    """Bar chart of the weights (states,) of the hidden states in the learned sum, which add up to 1; the values in a JSON file beside it."""
    with atomic_write(path.with_suffix(".json")) as stream:
        json.dump({"weights": [float(weight) for weight in weights]}, stream)
    figure, axis = plt.subplots(figsize=(max(4, 0.35 * len(weights)), 3), layout="constrained")
    axis.bar(range(len(weights)), weights)
    axis.axhline(1 / len(weights), color="gray", linewidth=0.8, linestyle=":", label="at the start")
    axis.set(xlabel="hidden state", ylabel="weight", title="learned weights of the hidden states", xticks=range(len(weights)))
    axis.legend()
    save_figure(figure, path)
