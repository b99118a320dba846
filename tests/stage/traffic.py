"""Steady, counted requests of many users, from outside the cluster's pods.

Everything that a claim of "not one failed request" needs: each request is counted once, as answered or failed, with the
revision that the answer's header named and the user who asked.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

HEADER_REVISION = "x-holdfast-revision"
_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came of it."""

    at: float
    """When the answer was complete, in seconds on the monotonic clock."""
    wall: float
    """The same, in seconds since 1970."""
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

    def mark(self) -> int:
        """Return a place in the record, for `counts`."""
        with self._lock:
            return len(self._answers)

    def answers(self, since: int = 0) -> list[Answer]:
        """Return the answers from a mark on."""
        with self._lock:
            return self._answers[since:]

    def counts(self, since: int = 0) -> Counts:
        """Count from a mark on."""
        answers = self.answers(since)
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

    def wait(self, requests: int, *, timeout: float = 60.0) -> int:
        """Wait for so many further answers; return the mark from before.

        Raises:
            TimeoutError: they did not come in time.
        """
        since = self.mark()
        deadline = time.monotonic() + timeout
        while self.mark() < since + requests:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.mark() - since} of {requests} answers within {timeout:g} s")
            self._stopping.wait(0.05)
        return since

    def _run(self) -> None:
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            await asyncio.gather(*(self._work(session, number) for number in range(self._workers)))

    async def _work(self, session: aiohttp.ClientSession, number: int) -> None:
        order = self._order(number)
        while not self._stopping.is_set():
            began = time.monotonic()
            answer = await self._ask(session, next(order))
            with self._lock:
                self._answers.append(answer)
            await asyncio.sleep(max(0.0, self._pause - (time.monotonic() - began)))

    def _order(self, number: int) -> Iterator[str]:
        mine = self._users[number :: self._workers]
        shuffled = random.Random(number)  # noqa: S311 - an order, not a secret
        while True:
            shuffled.shuffle(mine)
            yield from mine

    async def _ask(self, session: aiohttp.ClientSession, user: str) -> Answer:
        body = {"model": self._model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "temperature": 0}
        headers = {"host": self._host, "x-user-id": user}
        try:
            async with session.post(f"{self._url}/v1/chat/completions", json=body, headers=headers) as response:
                content = await response.read()
                if response.status != 200:
                    return self._failed(user, f"status {response.status}: {content[:120].decode(errors='replace')}")
                document: dict[str, Any] = await response.json()
                if not document.get("choices"):
                    return self._failed(user, "an answer without choices")
                return Answer(
                    at=time.monotonic(), wall=time.time(), user=user, revision=response.headers.get(HEADER_REVISION, "(unmarked)")
                )
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return self._failed(user, f"{type(error).__name__}: {error}")

    @staticmethod
    def _failed(user: str, why: str) -> Answer:
        return Answer(at=time.monotonic(), wall=time.time(), user=user, revision="", failure=why)


def ask_once(
    url: str, *, host: str, model: str, path: str = "/v1/chat/completions", user: str = "user-0"
) -> tuple[int, dict[str, str], str]:
    """Send one request; return status, headers and body."""

    async def send() -> tuple[int, dict[str, str], str]:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "temperature": 0}
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(f"{url}{path}", json=body, headers={"host": host, "x-user-id": user}) as response,
        ):
            return response.status, {name.lower(): value for name, value in response.headers.items()}, await response.text()

    return asyncio.run(send())
