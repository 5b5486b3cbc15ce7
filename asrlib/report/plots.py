"""Plots of a training run."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend comes first)

from asrlib.utils.files import atomic_write  # noqa: E402


def plot_history(rows: Sequence[dict], path: Path) -> None:
    """Training and validation loss, WER and CER, and learning rate over epochs, side by side in one PNG.

    rows: the rows of history.jsonl.
    """
    updates = [row for row in rows if "loss" in row]
    valid = [row for row in rows if "valid_loss" in row]
    figure, (loss, error, rate) = plt.subplots(1, 3, figsize=(15, 4), layout="constrained")
    epochs = [row["epoch"] for row in updates]
    losses = np.array([row["loss"] for row in updates], float)
    losses[~np.isfinite(losses)] = np.nan  # left out of the curve
    loss.plot(epochs, losses, color="tab:blue", alpha=0.25, linewidth=0.8)
    loss.plot(epochs, smoothed(losses), color="tab:blue", label="training")
    loss.plot([row["epoch"] for row in valid], [row["valid_loss"] for row in valid], "o-", color="tab:orange", markersize=3, label="validation")
    loss.set(title="CTC loss", xlabel="epoch", yscale="log")
    loss.legend()
    for name, color in (("wer", "tab:red"), ("cer", "tab:green")):
        error.plot([row["epoch"] for row in valid], [row[f"valid_{name}"] for row in valid], "o-", color=color, markersize=3, label=name.upper())
    error.set(title="validation error rate (%)", xlabel="epoch")
    error.set_ylim(bottom=0)
    if valid:
        error.legend()
    rate.plot(epochs, [row["learning_rate"] for row in updates])
    rate.set(title="learning rate", xlabel="epoch")
    for axis in (loss, error, rate):
        axis.grid(alpha=0.3)
    save_figure(figure, path)


def plot_pretraining(rows: Sequence[dict], path: Path) -> None:
    """Training and validation loss and accuracy of the masked frames, and learning rate, over updates.

    Also the speaker accuracy (ProgRE) and the perplexity of the codewords (wav2vec 2.0), if the rows have them.
    """
    updates = [row for row in rows if "loss" in row]
    task = "contrastive" if any("contrastive_accuracy" in row for row in updates) else "masked"
    valid = [row for row in rows if "valid_loss" in row]
    figure, (loss, accuracy, rate) = plt.subplots(1, 3, figsize=(15, 4), layout="constrained")
    steps, valid_steps = [row["update"] for row in updates], [row["update"] for row in valid]
    loss.plot(steps, [row["loss"] for row in updates], label="training")
    loss.plot(valid_steps, [row["valid_loss"] for row in valid], "o-", markersize=3, label="validation")
    loss.set(title="cross-entropy of the masked frames", xlabel="update")
    accuracy.plot(steps, [100 * row[f"{task}_accuracy"] for row in updates], label="training")
    accuracy.plot(valid_steps, [100 * row["valid_accuracy"] for row in valid], "o-", markersize=3, label="validation")
    if any("speaker_accuracy" in row for row in updates):
        accuracy.plot(steps, [100 * row.get("speaker_accuracy", np.nan) for row in updates], ":", label="speakers, training")
    accuracy.set(title="accuracy (%)", xlabel="update", ylim=(0, 100))
    if task == "contrastive":
        perplexity = accuracy.twinx()
        perplexity.plot(steps, [row["code_perplexity"] for row in updates], ":", color="tab:green")
        perplexity.set_ylabel("perplexity of the codewords", color="tab:green")
    rate.plot(steps, [row["learning_rate"] for row in updates])
    rate.set(title="learning rate", xlabel="update")
    for axis in (loss, accuracy, rate):
        axis.grid(alpha=0.3)
    loss.legend()
    accuracy.legend()
    save_figure(figure, path)


def smoothed(values: np.ndarray, share: float = 0.05) -> np.ndarray:
    """Running mean of the finite values in a window of `share` of all values; nan where the window has none."""
    width = max(1, int(len(values) * share))
    finite = np.isfinite(values)
    sums = np.cumsum(np.concatenate([[0.0], np.where(finite, values, 0.0)]))
    counts = np.cumsum(np.concatenate([[0], finite]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    with np.errstate(invalid="ignore"):
        return (sums[ends] - sums[starts]) / (counts[ends] - counts[starts])


def save_figure(figure: plt.Figure, path: Path, dpi: int = 100) -> None:
    """Writes a figure as PNG, atomically, and closes it."""
    with atomic_write(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=dpi)
    plt.close(figure)
