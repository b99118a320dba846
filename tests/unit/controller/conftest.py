"""What the tests of the controller share."""

import logging

import pytest

from model.fake_cluster import FakeCluster


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Make all entries of the log, so that one that cannot be made fails the test."""
    caplog.set_level(logging.DEBUG, logger="holdfast")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()
