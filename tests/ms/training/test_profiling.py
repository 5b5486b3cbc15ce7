"""The profile of a training: a trace on disk, the dearest operators in the log, the same weights."""

import json
import re

import pytest

from asrlib.bin import train
from asrlib.ms.checkpoint.weights import load_arrays
from asrlib.ms.training.profiling import dearest
from tests.ms.conftest import train_arguments


def event(name, duration, kind="HostCpuOps"):
    return {"ph": "X", "name": name, "pid": 2, "tid": 0, "ts": "1", "dur": str(duration), "args": {"type": kind}}


def test_dearest():
    """Sums over the calls of an operator, in ms an update; other events do not count."""
    trace = [{"ph": "M", "name": "process_name", "args": {}}, event("other", 9e9, "MindData"), *[event(f"op{i:02d}", 100 * i) for i in range(1, 13)]]
    lines = dearest([*trace, event("op01", 3900)], updates=2)
    assert lines[0] == "the 10 dearest of 12 operators, of 5.8 ms an update (mean of 2 updates):"
    assert [line.split()[-1] for line in lines[1:]] == ["op01", *(f"op{i:02d}" for i in range(12, 3, -1))]
    assert lines[1].split()[:6] == ["34.2", "%", "2.00", "ms", "1.0", "calls"]


@pytest.mark.parametrize("updates", [2, pytest.param(5, marks=pytest.mark.recipe)])
def test_profiled_training(dump, tmp_path, logged, updates):
    train.main([*train_arguments(dump, tmp_path / "exp", f"trainer.updates={updates}"), "--profile", "true"])
    traces = list((tmp_path / "exp/profile").glob("*/*/trace_view.json"))
    if updates == 2:
        assert not traces and any("nothing profiled" in message for message in logged)
        return
    names = {entry["name"] for entry in json.loads(traces[0].read_text()) if entry["ph"] == "X"}
    heading = next(i for i, message in enumerate(logged) if "dearest of" in message)
    assert "(mean of 3 updates)" in logged[heading]
    shown = [re.fullmatch(r" *[\d.]+ % +[\d.]+ ms +[\d.]+ calls  (\S+)", message) for message in logged[heading + 1 : heading + 11]]
    assert len(traces) == 1 and all(match and match[1] in names for match in shown)
    assert any(str(traces[0]) in message for message in logged)
    train.main(train_arguments(dump, tmp_path / "plain", f"trainer.updates={updates}"))
    profiled, plain = (load_arrays(tmp_path / name / "model.safetensors") for name in ("exp", "plain"))
    assert all((profiled[name] == plain[name]).all() for name in plain)
