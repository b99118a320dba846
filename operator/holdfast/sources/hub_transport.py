"""How huggingface_hub talks: one try within given limits, then a typed error, and without memory.

By itself huggingface_hub retries and sleeps (minutes on a rate limit), lists files without a time limit, and follows the next
page of a listing to any host. None of that suits a process that must answer quickly and truthfully. Facts: huggingface_hub 2.4,
``utils/_http.py`` and ``utils/_pagination.py``.
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from logging import WARNING, getLogger
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import hf_request_event_hook, parse_ratelimit_headers

from holdfast.sources.hub_errors import SourceMismatchError, SourceUnavailableError

_BODY_MAX_BYTES: Final = 32 * 1024 * 1024  # of one JSON answer; a page of 1000 files takes less than 1 MiB
_TRANSIENT: Final = (408, 425, 429)

getLogger("httpx2").setLevel(WARNING)  # its INFO lines show signed addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a piece of work may take, in seconds, and a way to end it from another thread."""

    request_seconds: float
    """For connecting and for each wait for more bytes."""
    total_seconds: float
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class _Work:
    endpoint: str
    limits: Limits
    deadline: float

    def check(self) -> None:
        """Raise when the work was cancelled or took too long."""
        if self.limits.cancelled.is_set():
            raise SourceUnavailableError("the request to the Hub was cancelled")
        if time.monotonic() > self.deadline:
            raise SourceUnavailableError(f"{self.endpoint} did not finish its answers within {self.limits.total_seconds:g} s")


_work: ContextVar[_Work | None] = ContextVar("_work", default=None)


class _Stream(httpx2.SyncByteStream):
    """A body that stops when the work is cancelled, too long or too large."""

    def __init__(self, inner: httpx2.SyncByteStream, work: _Work, max_bytes: int | None) -> None:
        self._inner = inner
        self._work = work
        self._max_bytes = max_bytes

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        with _transport_errors(self._work):
            for chunk in self._inner:
                received += len(chunk)
                if self._max_bytes is not None and received > self._max_bytes:
                    raise SourceUnavailableError(f"{self._work.endpoint} sent an answer of more than {self._max_bytes} bytes")
                self._work.check()
                yield chunk

    def close(self) -> None:
        self._inner.close()


class _Client(httpx2.Client):
    """The HTTP client that huggingface_hub uses, within the limits of the work at hand: one try, then a typed error."""

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        work = _work.get()
        if work is None:  # somebody else in this process uses huggingface_hub, as is its good right
            return super().send(request, stream=stream, **options)
        work.check()
        if "authorization" in request.headers and _origin(str(request.url)) != _origin(work.endpoint):
            # The next page of a listing is an address that the answer names.
            raise SourceMismatchError(f"{work.endpoint} points to another host for its own answers; the token is not sent there")
        request.extensions["timeout"] = httpx2.Timeout(work.limits.request_seconds).as_dict()
        with _transport_errors(work):
            response = super().send(request, stream=True, **options)
        try:
            if not isinstance(response.stream, httpx2.SyncByteStream):
                raise TypeError("the answer's body is not a synchronous stream")
            response.stream = _Stream(response.stream, work, None if stream else _BODY_MAX_BYTES)
            if response.status_code in _TRANSIENT or response.status_code >= 500:
                raise SourceUnavailableError(
                    f"{work.endpoint} answered {response.status_code} {response.reason_phrase}",
                    retry_after=_retry_after(response),
                )
            if not stream:
                response.read()
        except BaseException:
            response.close()
            raise
        return response


@contextmanager
def within(endpoint: str, limits: Limits) -> Generator[None]:
    """Bound everything that this thread asks the Hub at `endpoint` for."""
    reset = _work.set(_Work(endpoint, limits, time.monotonic() + limits.total_seconds))
    try:
        yield
    finally:
        _work.reset(reset)


@contextmanager
def _transport_errors(work: _Work) -> Generator[None]:
    try:
        yield
    except httpx2.TimeoutException as error:
        raise SourceUnavailableError(f"{work.endpoint} did not answer within {work.limits.request_seconds:g} s") from error
    except httpx2.LocalProtocolError:  # its text holds the header that is wrong, the token's among them
        raise SourceUnavailableError(
            f"{work.endpoint} cannot be asked: the request has a header that HTTP cannot carry"
        ) from None
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise SourceUnavailableError(f"{work.endpoint} cannot be reached: {error or type(error).__name__}") from error


def _retry_after(response: httpx2.Response) -> float | None:
    """Return the seconds until the rate limit ends (draft-ietf-httpapi-ratelimit-headers) or as Retry-After says (RFC 9110)."""
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0  # the header is rounded down
    value = response.headers.get("retry-after", "").strip()
    return float(value) if value.isdecimal() else None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


set_client_factory(
    lambda: _Client(event_hooks={"request": [hf_request_event_hook]}, follow_redirects=True, timeout=None)  # see send
)
