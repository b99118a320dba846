"""Say what is going on while it takes long: a live line on a terminal, plain lines elsewhere."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console

_REPEAT_SECONDS = 30.0


class Progress:
    """Prints each step with its duration; `quiet` prints nothing at all."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet = quiet
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            self._console.print(text, markup=False)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show that `text` is being done, and when it is over how long it took."""
        if self._quiet:
            yield
            return
        began = time.monotonic()
        with self._terminal(text, began) if self._console.is_terminal else self._plain(text, began):
            yield
        self.say(f"  {text}: {time.monotonic() - began:.1f} s")

    @contextlib.contextmanager
    def _terminal(self, text: str, began: float) -> Iterator[None]:
        with self._console.status(text) as status, _every(1.0, lambda: status.update(_elapsed(text, began))):
            yield

    @contextlib.contextmanager
    def _plain(self, text: str, began: float) -> Iterator[None]:
        with _every(_REPEAT_SECONDS, lambda: self.say(f"  {_elapsed(text, began)}")):
            yield


def _elapsed(text: str, began: float) -> str:
    return f"{text} … {time.monotonic() - began:.0f} s"


@contextlib.contextmanager
def _every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
