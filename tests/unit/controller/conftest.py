"""Entries of the log are made in these tests, so that one that cannot be made fails them."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="holdfast")
