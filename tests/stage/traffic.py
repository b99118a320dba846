"""Steady, counted requests of many users, from outside the cluster's pods.

Everything that a claim of "not one failed request" needs: each request is counted once, as answered or failed, with the
revision that the answer's header named and the user who asked.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

HEADER_REVISION = "x-holdfast-revision"
_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came of it."""

    began: float
    """When the request began, in seconds on the monotonic clock."""
    at: float
    """When the answer was complete, on the same clock."""
    wall: float
    """When the answer was complete, in seconds since 1970."""
    user: str
    revision: str
    """Value of the revision header; empty when the request failed."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened in a window of time."""

    sent: int = 0
    failed: int = 0
    by_revision: dict[str, int] = field(default_factory=dict)
    users_by_revision: dict[str, frozenset[str]] = field(default_factory=dict)
    failures: tuple[str, ...] = ()

    def user_share(self, revision: str) -> float:
        """Return the share of the users of the window who were answered by this revision."""
        users = set().union(*self.users_by_revision.values()) if self.users_by_revision else set()
        return len(self.users_by_revision.get(revision, frozenset())) / len(users) if users else 0.0


class Traffic:
    """Requests at a steady rate in a thread of its own, until it is stopped."""

    def __init__(self, url: str, *, host: str, model: str, users: int = 400, per_second: float = 60.0, workers: int = 8) -> None:
        self._url, self._host, self._model = url, host, model
        self._users = [f"user-{number}" for number in range(users)]
        self._pause = workers / per_second
        self._workers = workers
        self._answers: list[Answer] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the requests under way end, then stop."""
        self._stopping.set()
        self._thread.join(timeout=60)

    def answers(self, since: float = 0.0) -> list[Answer]:
        """Return the answers so far to requests that began at `since` (monotonic clock) or later."""
        with self._lock:
            return [answer for answer in self._answers if answer.began >= since]

    def counts(self, since: float = 0.0) -> Counts:
        """Count the requests that began at `since` (monotonic clock) or later and are over."""
        return _counted(self.answers(since))

    def after_now(self, requests: int, *, timeout: float = 60.0) -> Counts:
        """Wait for the answers to so many requests that begin after this call, and count those.

        A request that is under way now is left out: it may have been sent on by a route that is out of force by now.

        Raises:
            TimeoutError: they did not come in time.
        """
        since = time.monotonic()
        deadline = since + timeout
        while len(found := self.answers(since)) < requests:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(found)} of {requests} answers came within {timeout:g} s; is the machine busy with something else?"
                )
            self._stopping.wait(0.05)
        return _counted(found)

    def _run(self) -> None:
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            await asyncio.gather(*(self._work(session, number) for number in range(self._workers)))

    async def _work(self, session: aiohttp.ClientSession, number: int) -> None:
        order = self._order(number)
        while not self._stopping.is_set():
            began = time.monotonic()
            answer = await self._ask(session, next(order), began)
            with self._lock:
                self._answers.append(answer)
            await asyncio.sleep(max(0.0, self._pause - (time.monotonic() - began)))

    def _order(self, number: int) -> Iterator[str]:
        mine = self._users[number :: self._workers]
        shuffled = random.Random(number)  # noqa: S311 - an order, not a secret
        while True:
            shuffled.shuffle(mine)
            yield from mine

    async def _ask(self, session: aiohttp.ClientSession, user: str, began: float) -> Answer:
        body = {"model": self._model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "temperature": 0}
        headers = {"host": self._host, "x-user-id": user}
        try:
            async with session.post(f"{self._url}/v1/chat/completions", json=body, headers=headers) as response:
                content = await response.read()
                if response.status != 200:
                    return _failed(user, began, f"status {response.status}: {content[:120].decode(errors='replace')}")
                document: dict[str, Any] = await response.json()
                if not document.get("choices"):
                    return _failed(user, began, "an answer without choices")
                revision = response.headers.get(HEADER_REVISION, "(unmarked)")
                return Answer(began=began, at=time.monotonic(), wall=time.time(), user=user, revision=revision)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return _failed(user, began, f"{type(error).__name__}: {error}")


def _failed(user: str, began: float, why: str) -> Answer:
    return Answer(began=began, at=time.monotonic(), wall=time.time(), user=user, revision="", failure=why)


def _counted(answers: list[Answer]) -> Counts:
    good = [answer for answer in answers if not answer.failure]
    users: dict[str, set[str]] = {}
    for answer in good:
        users.setdefault(answer.revision, set()).add(answer.user)
    failures = Counter(answer.failure for answer in answers if answer.failure)
    return Counts(
        sent=len(answers),
        failed=len(answers) - len(good),
        by_revision=dict(Counter(answer.revision for answer in good)),
        users_by_revision={revision: frozenset(names) for revision, names in users.items()},
        failures=tuple(f"{text} ({count}x)" for text, count in failures.most_common(5)),
    )


def ask_once(
    url: str,
    *,
    host: str,
    model: str,
    path: str = "/v1/chat/completions",
    user: str = "user-0",
    fields: Mapping[str, object] | None = None,
) -> tuple[int, dict[str, str], str]:
    """Send one request, with further fields if any; return status, headers and body."""

    async def send() -> tuple[int, dict[str, str], str]:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 8,
            "temperature": 0,
            **(fields or {}),
        }
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(f"{url}{path}", json=body, headers={"host": host, "x-user-id": user}) as response,
        ):
            return response.status, {name.lower(): value for name, value in response.headers.items()}, await response.text()

    return asyncio.run(send())
