"""history.jsonl and TensorBoard events of a run that may have been killed."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asrlib.ms.training.history import History, read_history


def update(number, loss=2.0):
    return {"update": number, "epoch": number / 4, "loss": loss, "learning_rate": 0.1, "grad_norm": 0.0}


def valid(epoch):
    return {"update": 4 * epoch, "epoch": epoch, "valid_loss": 1.0, "valid_wer": 50.0, "valid_cer": 20.0, "blank_ratio": 0.5}


@pytest.fixture
def history(tmp_path):
    """Six updates and the validation of the first epoch."""
    run = History(tmp_path)
    for number in range(1, 7):
        run.update(update(number))
        if number == 4:
            run.validation(valid(1))
    return run


def test_rows_come_back(history, tmp_path):
    rows = read_history(tmp_path)
    assert 0.05 < rows[4].pop("peak_memory_gb") < 100
    assert rows == [*map(update, range(1, 5)), valid(1), update(5), update(6)]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = "blank_ratio grad_norm learning_rate loss peak_memory_gb valid_cer valid_loss valid_wer"
    assert sorted(events.Tags()["scalars"]) == scalars.split()
    assert [(scalar.step, scalar.value) for scalar in events.Scalars("loss")] == [(number, 2.0) for number in range(1, 7)]
    assert [(scalar.step, scalar.value) for scalar in events.Scalars("valid_wer")] == [(4, 50.0)]


def test_incomplete_last_line_is_skipped(history, tmp_path):
    with open(history.path, "a") as stream:
        stream.write('{"update": 7, "epo')
    assert len(read_history(tmp_path)) == 7


@pytest.mark.parametrize(
    ("state", "left"),
    [((6, 4), 7), ((5, 4), 6), ((4, 4), 5), ((4, -1), 4), ((3, -1), 3), ((0, -1), 0)],
    ids=["nothing later", "an update later", "validated", "not yet validated", "in the first epoch", "no state"],
)
def test_rewind(history, tmp_path, state, left):
    """Rows after the state are removed, and a validation that it had not done; an incomplete line does not damage later rows."""
    with open(history.path, "a") as stream:
        stream.write('{"update": 7, "epo')
    before = read_history(tmp_path)
    run = History(tmp_path)
    run.rewind(*state)
    assert read_history(tmp_path) == before[:left]
    run.update(update(9))
    assert read_history(tmp_path) == [*before[:left], update(9)]


def test_nothing_yet(tmp_path):
    assert read_history(tmp_path) == []
    run = History(tmp_path / "new")
    run.rewind(0, -1)
    run.draw()
    assert (tmp_path / "new" / "images" / "training.png").stat().st_size > 1000


def test_loss_that_is_not_finite(tmp_path):
    run = History(tmp_path)
    run.update(update(1, float("inf")))
    assert read_history(tmp_path)[0]["loss"] == float("inf")
    assert json.loads((tmp_path / "history.jsonl").read_text())["update"] == 1
    run.draw()
