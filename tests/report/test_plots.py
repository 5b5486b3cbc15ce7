"""Plots of a training run."""

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest

from asrlib.report.plots import plot_history, save_figure, smoothed


def update(number, loss=3.0):
    return {"update": number, "epoch": number / 4, "loss": loss, "learning_rate": 1e-3, "grad_norm": 1.0}


def valid(epoch, loss=2.0, wer=50.0):
    return {"update": 4 * epoch, "epoch": epoch, "valid_loss": loss, "valid_wer": wer, "valid_cer": wer / 2, "blank_ratio": 0.5}


@pytest.mark.parametrize(
    "rows",
    [
        [update(i, 10 / i) for i in range(1, 13)] + [valid(i) for i in (1, 2, 3)],
        [update(1), update(2)],
        [valid(0)],
        [],
        [update(1, float("nan")), update(2), valid(1, float("nan"), float("nan"))],
        [update(1, float("inf"))],
    ],
    ids=["run", "no validation yet", "no update", "nothing", "nan", "inf"],
)
def test_history(tmp_path, rows, recwarn):
    """Every state of a run gives a plot without warnings."""
    others = plt.get_fignums()  # set by tests of other libraries in this process
    plot_history(rows, tmp_path / "images" / "training.png")
    picture = matplotlib.image.imread(tmp_path / "images" / "training.png")
    assert picture.shape == (400, 1500, 4)
    assert plt.get_fignums() == others, "a figure was left open"
    assert not [str(w.message) for w in recwarn if w.category is not DeprecationWarning]


def test_what_is_drawn(tmp_path, monkeypatch):
    """The curves have the values of the rows: losses over epochs, rates in percent, the learning rate."""
    figures = []
    monkeypatch.setattr("asrlib.report.plots.save_figure", lambda figure, path: figures.append(figure))
    plot_history([update(1, 8.0), update(2, 4.0), valid(1, 3.0, 60.0), update(5, 2.0), valid(2, 1.0, 20.0)], tmp_path / "x.png")
    loss, error, rate = figures[0].axes
    lines = [line.get_xydata().tolist() for line in loss.lines]
    assert lines == [[[0.25, 8], [0.5, 4], [1.25, 2]], [[0.25, 8], [0.5, 4], [1.25, 2]], [[1, 3], [2, 1]]]
    assert [(line.get_label(), line.get_xydata().tolist()) for line in error.lines] == [("WER", [[1, 60], [2, 20]]), ("CER", [[1, 30], [2, 10]])]
    assert rate.lines[0].get_ydata().tolist() == [1e-3] * 3
    assert loss.get_yscale() == "log"
    plt.close("all")


def test_smoothed():
    values = np.random.default_rng(0).normal(size=100)
    expected = [values[max(0, i - 4) : i + 1].mean() for i in range(100)]
    np.testing.assert_allclose(smoothed(values), expected)
    np.testing.assert_allclose(smoothed(values[:10]), values[:10])
    assert smoothed(np.array([])).size == 0


def test_smoothed_leaves_out_what_is_not_finite():
    """Divergence must not look like a loss of zero."""
    values = np.full(60, 5.0)
    values[[0, 10, 20]] = np.nan, np.inf, -np.inf
    expected = np.full(60, 5.0)
    expected[0] = np.nan
    np.testing.assert_allclose(smoothed(values), expected)


def test_save_figure_leaves_the_old_picture_on_an_error(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")
    figure = plt.figure()
    monkeypatch.setattr(figure, "savefig", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_figure(figure, tmp_path / "a.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", b"old")]
    plt.close("all")
