"""One fetcher of one list of files at a time, on whatever file system the pods share.

Two things together, because neither is enough on shared volumes: a lock of the kernel (flock(2)), which a killed process gives back
at once but which some network file systems keep on one node only or do not have; and a lease, a file that its holder keeps changing
and that counts as given up once nobody has changed it for a while, measured by the waiting process's own clock. Whoever cannot renew
the lease in time stops by itself. This saves work; that no copy is ever corrupted rests on files that are never shared (`cache`).
"""

import errno
import fcntl
import json
import math
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.weights.errors import WeightsUnavailableError
from holdfast.weights.progress import log

_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_CONTENT_MAX_BYTES: Final = 4096
_REPORT_SECONDS: Final = 10.0
_LONG_AGO_SECONDS: Final = 3600.0  # clocks of nodes differ by less


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often to renew and to look, and after how long to give up, all in seconds."""

    renew: float = 5.0
    stop: float = 20.0
    """Without a renewal for so long the holder stops writing."""
    expire: float = 45.0
    """Unchanged for so long, a lease counts as given up."""
    look: float = 0.5
    settle: float = 1.0
    """Without locks: how long to wait for others that took the lease at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that works: `unique` tells it from all others that ever ran, `boot_id` its node's boot from all other boots."""

    unique: str
    boot_id: str


class Hold:
    """The right to work.

    `sole`: whoever had it before gave it back, or ran on this node and the kernel says that it is gone; so nobody else can have
    unfinished files open.
    """

    def __init__(self, *, sole: bool, clock: Callable[[], float], stop_seconds: float) -> None:
        self.sole = sole
        self._clock = clock
        self._stop_seconds = stop_seconds
        self._renewed = clock()
        self.lost = False
        """Another process has the lease."""

    def renewed(self) -> None:
        """Note that the lease was renewed just now."""
        self._renewed = self._clock()

    def check(self) -> None:
        """Raise `WeightsUnavailableError` when another process may have begun to work."""
        if self.lost or self._clock() - self._renewed > self._stop_seconds:
            raise WeightsUnavailableError("this pod was held up, and another one may fetch the same files by now; start again")


class Lease:
    """The lock and the lease of one list of files in a shared directory."""

    def __init__(
        self, directory: Path, name: str, holder: Holder, *, pace: Pace | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lock_path = directory / f".lock-{name}"
        self._path = directory / f".lease-{name}"
        self._holder = holder
        self._pace = pace or Pace()
        self._clock = clock
        self._beats = 0

    @contextmanager
    def held(self) -> Generator[Hold]:
        """Wait until no other process works, then keep all others waiting.

        Raises:
            OSError: the directory cannot be read or written.
        """
        # Closing it, as a killed process does, gives the lock back. It is never deleted: others may wait for it.
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        stopped = threading.Event()
        try:
            hold = self._wait(descriptor)
            beating = threading.Thread(target=self._beat, args=(hold, stopped), name="lease", daemon=True)
            beating.start()
            try:
                yield hold
            finally:
                stopped.set()
                beating.join()
                if self._read().get("holder") == self._holder.unique:
                    self._path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    @contextmanager
    def held_if_free(self) -> Generator[bool]:
        """Say whether nobody works, without waiting; while the block runs, none that has locks begins to."""
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        try:
            locked, current = _lock(descriptor), self._read()
            gone = locked is True and current.get("boot") == self._holder.boot_id
            yield locked is not False and (not current or gone or self._age() > _LONG_AGO_SECONDS)
        finally:
            os.close(descriptor)

    def _age(self) -> float:
        """Return for how many seconds nobody renewed the lease, by the clock of the file system."""
        try:
            return time.time() - self._path.stat().st_mtime
        except FileNotFoundError:
            return math.inf

    def _wait(self, descriptor: int) -> Hold:
        began = seen_at = self._clock()
        seen: dict[str, object] = {}
        reported = began - _REPORT_SECONDS
        while True:
            locked = _lock(descriptor)
            current = self._read()
            now = self._clock()
            if current != seen:
                seen, seen_at = current, now
            same_node = locked is True and current.get("boot") == self._holder.boot_id
            if locked is not False and (not current or same_node or now - seen_at > self._pace.expire) and self._take(locked):
                return Hold(sole=same_node or not current, clock=self._clock, stop_seconds=self._pace.stop)
            if now - reported >= _REPORT_SECONDS:
                log("waiting for another pod that fetches the same files", seconds=round(now - began, 1))
                reported = now
            time.sleep(self._pace.look)

    def _take(self, locked: bool | None) -> bool:
        """Put our lease in place of the one that is there; False when another process did the same at the same moment."""
        self._write()
        if locked is None:
            time.sleep(self._pace.settle)
        return self._read().get("holder") == self._holder.unique

    def _beat(self, hold: Hold, stopped: threading.Event) -> None:
        while not stopped.wait(self._pace.renew):
            try:
                if self._read().get("holder") != self._holder.unique:
                    hold.lost = True
                    return
                self._write()
                hold.renewed()
            except OSError as error:
                log("the lease cannot be renewed", level="warning", error=str(error))

    def _write(self) -> None:
        self._beats += 1
        temporary = self._path.with_name(f"{self._path.name}-{self._holder.unique}")
        content = {"beat": self._beats, "boot": self._holder.boot_id, "holder": self._holder.unique}
        temporary.write_text(json.dumps(content), encoding="ascii")
        temporary.rename(self._path)

    def _read(self) -> dict[str, object]:
        """Return what the lease says; empty when there is none."""
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(_CONTENT_MAX_BYTES))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError):
            return {"unreadable": True}  # it counts as somebody's until it expires
        return found if isinstance(found, dict) and found else {"unreadable": True}


def _lock(descriptor: int) -> bool | None:
    """Return whether the lock is ours now; None when the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True
