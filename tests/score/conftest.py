"""What the tests of scoring share."""

import logging

import pytest


@pytest.fixture
def warnings(caplog):
    """The log of the project, which does not propagate to the root logger."""
    logger = logging.getLogger("asrlib")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
