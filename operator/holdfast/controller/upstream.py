"""Looks at what is published upstream, in the background: once per repository, spread over time, and within the Hub's limits.

When a repository's turn comes follows from a hash and the time, not from when this process began: a restart neither makes everybody's
turn come at once nor skips one. What was seen is handed to decisions as it is; nothing else depends on it.
"""

import asyncio
import contextlib
import hashlib
import heapq
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.controller.observer import Observer
from holdfast.controller.ports import Upstream
from holdfast.controller.queue import Priority, WorkQueue
from holdfast.domain import defaults, upstream
from holdfast.domain.snapshot import RepositoryMissing, RepositorySeen, Snapshot
from holdfast.sources.hub_errors import HubError
from holdfast.sources.hub_upstream import Allowance

logger = logging.getLogger(__name__)

REQUESTS: Final = 200
"""Requests in each `WINDOW`: less than half of what the Hub gives to callers without a token, 500 (its page "Rate limits", 2026).
The other half is for resolving what people declare."""
WINDOW: Final = 300.0
_BURST: Final = 30.0
"""Requests that may be saved up and made at once."""
_RESERVE: Final = 0.3
"""Part of the Hub's own limit that is left to others: with less than that remaining, nothing is looked at until the limit is reset."""
_FIRST_DELAY: Final = 300.0
"""Seconds until a repository that could not be looked at is tried again; the delay doubles."""
_FIRST_PAUSE: Final = 5.0
"""Seconds without any look after the Hub failed; the pause doubles while it goes on."""
_LONGEST_PAUSE: Final = 300.0


class Budget:
    """How many requests may be made, and when the next one may.

    It begins with nothing saved up, so that an operator that starts again and again asks no more than one that runs.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._saved = 0.0
        self._at = clock()
        self._paused_until = self._at

    def wait(self, requests: int) -> float:
        """Return the seconds until so many requests may be made; 0 for now."""
        now = self._clock()
        self._saved = min(_BURST, self._saved + (now - self._at) * REQUESTS / WINDOW)
        self._at = now
        missing = (min(requests, _BURST) - self._saved) * WINDOW / REQUESTS
        return max(missing, self._paused_until - now, 0.0)

    def spend(self, requests: int) -> None:
        """Take that so many requests were made."""
        self._saved -= requests

    def pause(self, seconds: float) -> None:
        """Make no request for so long at least."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def heed(self, allowance: Allowance | None) -> None:
        """Pause until the Hub's limit is reset if little of it remains."""
        if allowance is not None and allowance.remaining < _RESERVE * (allowance.limit or REQUESTS / _RESERVE):
            self.pause(allowance.reset_seconds + 1.0)  # the header is rounded down


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one ModelDeployment wants to know of a repository."""

    commits: frozenset[str]
    every: float
    uid: str


@dataclass(slots=True)
class _Repository:
    wishes: dict[Key, _Wish] = field(default_factory=dict)
    due: float = 0.0
    """When it is its turn, in seconds since 1970 by the API server's time."""
    found: RepositorySeen | RepositoryMissing | None = None
    failures: int = 0

    @property
    def every(self) -> float:
        return min(wish.every for wish in self.wishes.values())

    @property
    def commits(self) -> frozenset[str]:
        return frozenset().union(*(wish.commits for wish in self.wishes.values()))


class UpstreamWatch:
    """The repositories that somebody wants to be looked at, and what was seen of them.

    Args:
        hub: what looks at repositories.
        queue: where the keys go for which something new was seen.
        now: the API server's time.
        clock: a monotonic clock, in seconds; that of the event loop if `run` is used.
        rng: spreads the retries.
        observer: told of every look.
    """

    def __init__(
        self,
        *,
        hub: Upstream,
        queue: WorkQueue,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        rng: random.Random,
        observer: Observer,
    ) -> None:
        self._hub = hub
        self._queue = queue
        self._now = now
        self._rng = rng
        self._observer = observer
        self._budget = Budget(clock)
        self._repositories: dict[str, _Repository] = {}
        self._order: list[tuple[float, str]] = []
        self._wanted: dict[Key, dict[str, _Wish]] = {}
        self._troubles = 0
        self._changed = asyncio.Event()

    def find(self, key: Key) -> Mapping[str, RepositorySeen | RepositoryMissing]:
        """Return what was seen of the repositories that a ModelDeployment wants, by the names under which they are pinned."""
        found = {name: self._repositories[name].found for name in self._wanted.get(key, ())}
        return {name: seen for name, seen in found.items() if seen is not None}

    def want(self, key: Key, snapshot: Snapshot) -> None:
        """Look from now on at what a ModelDeployment is made of, and at nothing else for its sake."""
        status, uid = snapshot.deployment.status, snapshot.deployment.meta.uid
        every = defaults.upstream_check(snapshot.deployment.spec)
        pins = upstream.pins(snapshot, status)
        wishes = {
            name: _Wish(frozenset(pin.commit for pin in pins if pin.repository == name), every.total_seconds(), uid)
            for name in sorted({pin.repository for pin in pins})
            if every is not None
        }
        if wishes == self._wanted.get(key, {}):
            return
        unchecked = upstream.unchecked(pins, status)
        for name in self._wanted.get(key, {}).keys() - wishes.keys():
            self._drop(key, name)
        for name, wish in wishes.items():
            self._add(key, name, wish, at_once=name in unchecked)
        self._wanted[key] = wishes
        self._changed.set()

    def release(self, key: Key) -> None:
        """Take that a ModelDeployment is gone."""
        for name in self._wanted.pop(key, {}):
            self._drop(key, name)

    async def run(self) -> None:
        """Look at repositories as their turns come, until cancelled."""
        while True:
            self._changed.clear()
            delay = await self.step()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._changed.wait()

    async def step(self) -> float | None:
        """Look at the repository whose turn it is, if it is one's; return the seconds until the next step, None if nobody wants one."""
        name = self._first()
        if name is None:
            return None
        repository = self._repositories[name]
        early = repository.due - self._time()
        if early > 0:
            return early
        cost = 2 + len(repository.commits)
        wait = self._budget.wait(cost)
        if wait > 0:
            return wait
        await self._look(name, repository, cost)
        return 0.0

    def repositories(self) -> int:
        """Return how many repositories are looked at."""
        return len(self._repositories)

    def overdue(self) -> float:
        """Return for how many seconds the repository that waits longest has waited for its turn; 0 if none waits."""
        known = list(self._repositories.values())  # whoever asks is in a thread of its own
        return max((0.0, *(self._time() - repository.due for repository in known)))

    async def _look(self, name: str, repository: _Repository, cost: int) -> None:
        try:
            look = await self._hub.look(name, sorted(repository.commits))
        except HubError as error:
            self._failed(name, repository, cost, error.reason, error.retry_after)
            logger.info("cannot look upstream", extra={"repository": name, "error": str(error)})
            return
        except Exception:
            self._failed(name, repository, cost, Reason.INTERNAL_ERROR, None)
            logger.exception("looking upstream failed", extra={"repository": name})
            return
        self._budget.spend(look.requests)
        self._budget.heed(look.allowance)
        self._troubles = repository.failures = 0
        self._observer.upstream_checked("Checked", look.requests, self._now())
        if not repository.wishes:
            return  # nobody wants it any more
        self._schedule(name, repository, _turn(name, repository, after=self._time() + repository.every / 2))
        if look.found != repository.found:
            repository.found = look.found
            for key in repository.wishes:
                self._queue.add(key, Priority.LOW)

    def _failed(self, name: str, repository: _Repository, cost: int, reason: Reason, retry_after: float | None) -> None:
        """Leave the Hub alone for a while, and the repository for longer; what was seen of it stands."""
        self._budget.spend(cost)
        self._budget.pause(retry_after or self._spread(_FIRST_PAUSE, self._troubles, _LONGEST_PAUSE))
        self._troubles += 1
        self._observer.upstream_checked(reason, cost, None)
        if repository.wishes:
            self._schedule(name, repository, self._time() + self._spread(_FIRST_DELAY, repository.failures, repository.every))
            repository.failures += 1

    def _spread(self, first: float, failures: int, longest: float) -> float:
        delay: float = min(longest, first * 2.0 ** min(failures, 20))
        return delay * (0.5 + self._rng.random() / 2)

    def _add(self, key: Key, name: str, wish: _Wish, *, at_once: bool) -> None:
        known = self._repositories.get(name)
        repository = self._repositories.setdefault(name, _Repository())
        repository.wishes[key] = wish
        turn = _turn(name, repository, after=self._time())
        if known is None:
            self._schedule(name, repository, self._time() if at_once else turn)
        elif not repository.failures:
            seen = repository.found
            # After a restart nothing was seen yet, and what others were told long ago does not answer this one.
            news = at_once if seen is None else isinstance(seen, RepositorySeen) and not wish.commits <= seen.commits.keys()
            self._schedule(name, repository, min(repository.due, self._time() if news else turn))

    def _drop(self, key: Key, name: str) -> None:
        repository = self._repositories[name]
        del repository.wishes[key]
        if not repository.wishes:
            del self._repositories[name]

    def _schedule(self, name: str, repository: _Repository, due: float) -> None:
        repository.due = due
        heapq.heappush(self._order, (due, name))

    def _first(self) -> str | None:
        """Return the repository whose turn is next, None if there is none."""
        while self._order:
            due, name = self._order[0]
            repository = self._repositories.get(name)
            if repository is not None and repository.due == due:
                return name
            heapq.heappop(self._order)  # it was put elsewhere, or nobody wants it any more
        return None

    def _time(self) -> float:
        return self._now().timestamp()


def _turn(name: str, repository: _Repository, *, after: float) -> float:
    """Return the next turn of a repository: the same moments in every process, and others for others and in other clusters."""
    uid = min(wish.uid for wish in repository.wishes.values())
    phase = int.from_bytes(hashlib.sha256(f"{uid}/{name}".encode()).digest()[:8]) / 2**64 * repository.every
    return after + repository.every - (after - phase) % repository.every
