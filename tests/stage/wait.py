"""Waiting for a condition, with a limit and a reason when it does not come."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(look: Callable[[], Found | None], *, what: str, timeout: float = 120.0, pause: float = 0.1) -> Found:
    """Return the first value that is neither None nor False nor empty.

    Raises:
        TimeoutError: it did not come within `timeout` seconds; the text names `what`.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {timeout:g} s; last seen: {found!r}")
        time.sleep(pause)
