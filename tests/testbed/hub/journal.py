"""What was asked of the hub: each request, counters, and what it did not understand."""

import itertools
import re
from collections import Counter, deque

from pydantic import BaseModel, ConfigDict

_KEPT_REQUESTS = 20_000


class RequestRecord(BaseModel):
    """One request. ``status`` is None while it is being answered.

    ``caller`` is an account name, ``anonymous`` or ``unknown``; ``token`` is redacted. ``bytes`` counts what was sent
    of the body, as it went over the wire. ``fault`` names the kinds of fault that struck.
    """

    model_config = ConfigDict(extra="forbid")

    number: int
    time: float
    method: str
    path: str
    route: str
    client: str
    caller: str = "anonymous"
    token: str | None = None
    range: str | None = None
    user_agent: str | None = None
    status: int | None = None
    bytes: int = 0
    fault: tuple[str, ...] = ()


class UnexpectedRequest(BaseModel):
    """Something that a client of the Hub must not send, or that the hub itself failed to answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.reason}"


class Counters(BaseModel):
    """Totals since the start or the last reset.

    Keys of ``requests`` are ``<route> <status>`` (``unanswered`` for stalled ones), keys of ``bytes`` are routes.
    """

    model_config = ConfigDict(extra="forbid")

    requests: dict[str, int]
    bytes: dict[str, int]

    @property
    def total_requests(self) -> int:
        """All requests that ended."""
        return sum(self.requests.values())


class Journal:
    """Keeps the newest requests and counts them all."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._records: deque[RequestRecord] = deque(maxlen=_KEPT_REQUESTS)
        self._requests: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self.unexpected: list[UnexpectedRequest] = []

    def next_number(self) -> int:
        """Return the number of the next request."""
        return next(self._numbers)

    def begin(self, record: RequestRecord) -> None:
        """Note that a request came in."""
        self._records.append(record)

    def finish(self, record: RequestRecord) -> None:
        """Note that a request was answered."""
        self._requests[f"{record.route} {record.status or 'unanswered'}"] += 1
        self._bytes[record.route] += record.bytes

    def requests(self, match: str = ".", after: int = 0) -> list[RequestRecord]:
        """Return the requests numbered above ``after`` whose ``<METHOD> <path>`` has the expression, oldest first."""
        pattern = re.compile(match)
        return [r for r in self._records if r.number > after and pattern.search(f"{r.method} {r.path}")]

    def counters(self) -> Counters:
        """Return the totals."""
        return Counters(requests=dict(sorted(self._requests.items())), bytes=dict(sorted(self._bytes.items())))

    def reset(self) -> None:
        """Forget requests and totals; what was unexpected stays."""
        self._records.clear()
        self._requests.clear()
        self._bytes.clear()
