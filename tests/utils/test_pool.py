"""A function over many items in processes: the order, what waits, the log and a killed process."""

import os
import signal
from pathlib import Path

import pytest

from asrlib.utils import pool
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger


# The functions of the tests; the processes import them by name.
def process_of(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def warned(number: int) -> int:
    get_logger("asrlib.some").warning("a file of kind %d", number % 2)
    return number


def killed(number: int) -> int:
    if number == 70:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture(params=["threads", "processes"])
def few(request, monkeypatch):
    monkeypatch.setattr(pool, "FEW", 10**9 if request.param == "threads" else 0)
    return request.param


def test_results_are_in_order(few):
    found = list(pool.mapped(process_of, range(300), 300, nj=2))
    assert [square for square, _ in found] == [number * number for number in range(300)]
    assert {process == os.getpid() for _, process in found} == {few == "threads"}
    assert list(pool.mapped(process_of, (), 0)) == []


def test_items_are_read_when_there_is_room(few):
    read = []
    results = pool.mapped(process_of, (read.append(number) or number for number in range(10_000)), 10_000, nj=2)
    next(results)
    assert len(read) <= pool.PART * pool.AHEAD * 2
    results.close()


def test_each_message_is_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(pool, "FEW", 0)
    assert list(pool.mapped(warned, range(200), 200, nj=2)) == list(range(200))
    assert sorted((record.name, record.levelname, record.getMessage()) for record in caplog.records) == [
        ("asrlib.some", "WARNING", "a file of kind 0"),
        ("asrlib.some", "WARNING", "a file of kind 1"),
    ]


def test_a_killed_process(monkeypatch):
    monkeypatch.setattr(pool, "FEW", 0)
    with pytest.raises(UserError, match="was killed .out of memory"):
        list(pool.mapped(killed, range(200), 200, nj=2))


def test_processes_end_with_the_results(monkeypatch):
    monkeypatch.setattr(pool, "FEW", 0)
    results = pool.mapped(process_of, range(5000), 5000, nj=2)
    _, process = next(results)
    results.close()
    assert not Path(f"/proc/{process}").exists()
