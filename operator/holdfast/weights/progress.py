"""What the program says while it works: one JSON object a line on stdout."""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from datetime import UTC, datetime
from typing import Final

_INTERVAL_SECONDS: Final = 10.0


def log(message: str, *, level: str = "info", **fields: object) -> None:
    """Write one line of log, now."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": message, **fields}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Progress:
    """Counts bytes from several threads and reports about them every few seconds."""

    def __init__(self, message: str, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._message = message
        self._total = total
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._done = 0

    def add(self, count: int) -> None:
        """Count bytes; a negative count takes back what has to be done again."""
        with self._lock:
            self._done += count

    def report(self) -> None:
        """Say how far it is."""
        seconds = self._clock() - self._started
        log(self._message, bytes=self._done, of=self._total, seconds=round(seconds, 1))

    def wait(self, futures: Sequence["Future[None]"]) -> None:
        """Wait until all are done, reporting meanwhile; raise the first failure as soon as it is known."""
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=_INTERVAL_SECONDS, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            if pending:
                self.report()
        self.report()
