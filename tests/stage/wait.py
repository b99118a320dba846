"""Waiting for a condition, with a limit and a reason when it does not come."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

_LONGEST_PAUSE = 0.4
_SHARE = 0.05
"""Of the time waited so far. Most looks start a process; what takes long need not be seen to the tenth of a second."""


def until(look: Callable[[], Found | None], *, what: str, timeout: float = 120.0, pause: float = 0.1) -> Found:
    """Return the first value that is neither None nor False nor empty.

    `pause` is the seconds between the first looks; they come more rarely the longer it takes.

    Raises:
        TimeoutError: it did not come within `timeout` seconds; the text names `what`.
    """
    began = time.monotonic()
    while True:
        found = look()
        if found:
            return found
        waited = time.monotonic() - began
        if waited > timeout:
            raise TimeoutError(f"{what} did not come within {timeout:g} s; last seen: {found!r}")
        time.sleep(max(pause, min(_LONGEST_PAUSE, waited * _SHARE)))
