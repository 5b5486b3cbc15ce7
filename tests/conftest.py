"""Fixtures shared by all tests."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Tests compare PyTorch and MindSpore in one process, where PyTorch's gradient of a convolution is NaN under AVX-512. Commands never load both.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings and reference arrays beside the checkout; tests that need it are skipped without it."""
    folder = ROOT.parent / "shared"
    if not (folder / "speech").is_dir():
        pytest.skip("no ../shared folder with real recordings beside the checkout")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole recipes run first: they take longest, and parallel processes should not wait for them at the end."""
    items.sort(key=lambda item: "recipes" not in item.path.parts)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The messages that asrlib logs during the test."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("asrlib").addHandler(handler)
    yield messages
    logging.getLogger("asrlib").removeHandler(handler)
