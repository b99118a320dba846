"""The work queue: which keys to reconcile, in which order, and when again.

As in client-go, a key is worked on by one worker at a time: what is added meanwhile is done once more afterwards, however often
it was added. As in controller-runtime's priority queue, a user's change overtakes the sweeps. Time is a parameter: the queue
itself never sleeps, so that tests can hold the clock; `take` is the one place that waits.
"""

import asyncio
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from holdfast.controller.keys import QueueKey

_FIRST_DELAY: Final = 0.2
"""Seconds before the first retry."""
_LONGEST_DELAY: Final = 60.0
"""Seconds between retries at most: how long a repaired cluster may look broken."""


class Priority(IntEnum):
    """How urgent a key is. The highest one asked for wins."""

    LOW = 0  # sweeps and the start
    NORMAL = 1  # something changed
    HIGH = 2  # a decision of a person, or traffic, waits for it


@dataclass(slots=True)
class _Ready:
    priority: Priority
    since: float


@dataclass(order=True, slots=True)
class _Timer:
    due: float
    serial: int
    key: QueueKey = field(compare=False)
    priority: Priority = field(compare=False)


class WorkQueue:
    """Keys that wait for a worker.

    Args:
        clock: a monotonic clock, in seconds; that of the event loop if `take` is used.
        rng: spreads the retries.
    """

    def __init__(self, *, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._ready: dict[QueueKey, _Ready] = {}
        self._order: list[tuple[int, float, int, QueueKey]] = []
        self._busy: dict[QueueKey, float] = {}
        self._again: dict[QueueKey, Priority] = {}
        self._timers: dict[QueueKey, _Timer] = {}
        self._heap: list[_Timer] = []
        self._failures: dict[QueueKey, int] = {}
        self._serial = 0
        self._changed = asyncio.Event()

    def add(self, key: QueueKey, priority: Priority = Priority.NORMAL) -> None:
        """Let a worker look at the key as soon as one is free."""
        if key in self._busy:
            self._again[key] = max(priority, self._again.get(key, priority))
            return
        waiting = self._ready.get(key)
        if waiting is not None and waiting.priority >= priority:
            return
        since = waiting.since if waiting is not None else self._clock()
        self._ready[key] = _Ready(priority, since)
        self._serial += 1
        heapq.heappush(self._order, (-priority, since, self._serial, key))
        self._changed.set()

    def add_after(self, key: QueueKey, delay: float, priority: Priority = Priority.NORMAL) -> None:
        """Add the key after so many seconds. A key has one timer: the earliest asked for."""
        if delay <= 0:
            self.add(key, priority)
            return
        due = self._clock() + delay
        known = self._timers.get(key)
        if known is not None and known.due <= due:
            return
        self._serial += 1
        timer = _Timer(due, self._serial, key, priority)
        self._timers[key] = timer
        heapq.heappush(self._heap, timer)
        self._changed.set()

    def retry(self, key: QueueKey, *, at_least: float = 0.0) -> float:
        """Add the key after a delay that doubles with every failure in a row, and return the delay in seconds.

        Half of the delay is random, so that what failed together does not come back together.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(failures, 20))
        delay = max(at_least, longest * (0.5 + self._rng.random() / 2))
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: QueueKey) -> None:
        """Forget the failures of the key."""
        self._failures.pop(key, None)

    def failures(self, key: QueueKey) -> int:
        """Return how often the key failed in a row."""
        return self._failures.get(key, 0)

    def forget(self, key: QueueKey) -> None:
        """Drop the timer and the failures of a key that no longer exists."""
        self._timers.pop(key, None)
        self._failures.pop(key, None)

    def pop(self) -> QueueKey | None:
        """Return the key that is next and hold it busy until `done`, or None if none is ready now."""
        self._expire()
        while self._order:
            priority, _, _, key = heapq.heappop(self._order)
            waiting = self._ready.get(key)
            if waiting is None or -priority != waiting.priority:
                continue  # it was taken, or overtaken by its own higher priority
            del self._ready[key]
            self._busy[key] = self._clock()
            return key
        return None

    async def take(self) -> QueueKey:
        """Wait for the next key and hold it busy until `done`."""
        while True:
            self._changed.clear()
            key = self.pop()
            if key is not None:
                if self._order:
                    self._changed.set()  # let the other workers look as well
                return key
            due = self.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: QueueKey) -> None:
        """Give back a key that `pop` or `take` returned; it is looked at again if it was added meanwhile."""
        del self._busy[key]
        again = self._again.pop(key, None)
        if again is not None:
            self.add(key, again)

    def is_pressing(self, key: QueueKey) -> bool:
        """Say whether something urgent came for a key since whoever works on it looked at it."""
        return self._again.get(key) is Priority.HIGH

    def looked(self, key: QueueKey) -> None:
        """Take that whoever works on the key looks at it anew: what was urgent until now is seen."""
        if self.is_pressing(key):
            del self._again[key]

    def next_due(self) -> float | None:
        """Return when, by the clock, the next timer is due."""
        while self._heap and self._timers.get(self._heap[0].key) is not self._heap[0]:
            heapq.heappop(self._heap)
        return self._heap[0].due if self._heap else None

    def depth(self) -> int:
        """Return how many keys are ready and wait for a worker."""
        return len(self._ready)

    def oldest_age(self) -> float:
        """Return for how many seconds the key that waits longest has been ready; 0 if none waits."""
        now = self._clock()
        waiting = list(self._ready.values())  # whoever asks for metrics is in a thread of its own
        return max((now - each.since for each in waiting), default=0.0)

    def longest_busy(self) -> float:
        """Return for how many seconds the key that is being worked on longest has been so; 0 if none is."""
        now = self._clock()
        return max((now - since for since in self._busy.values()), default=0.0)

    def _expire(self) -> None:
        now = self._clock()
        while (due := self.next_due()) is not None and due <= now:
            timer = heapq.heappop(self._heap)
            del self._timers[timer.key]
            self.add(timer.key, timer.priority)
