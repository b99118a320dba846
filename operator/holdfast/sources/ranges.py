"""Ranges of large files over HTTP, as quickly as Python can: one connection for each thread, one piece of memory at a time.

Facts: RFC 9110 §14 (ranges), §10.2.3 (Retry-After); draft-ietf-httpapi-ratelimit-headers as the Hub sends it. What is received is
not believed here: whoever uses it compares hashes.
"""

import os
import re
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from holdfast import __version__
from holdfast.sources.hub_errors import HubError, SourceNotFoundError, SourceUnavailableError

_TIMEOUT: Final = urllib3.Timeout(connect=10.0, read=30.0)  # seconds; read: for each wait for more bytes
_REDIRECTS_MAX: Final = 5
_RENEWALS_MAX: Final = 3
_BODY_MAX_BYTES: Final = 64 * 1024  # of a redirect; a longer one costs its connection
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_TRANSIENT: Final = (408, 425, 429)
_STALE: Final = (401, 403, 404, 410)
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})")
_RATE_LIMIT: Final = re.compile(r"\br=(\d{1,9})\s*;\s*t=(\d{1,9})\b")
_USER_AGENT: Final = f"holdfast/{__version__}"


class Server(Protocol):
    """Who has the files, and how it speaks."""

    @property
    def endpoint(self) -> str:
        """The address, for people."""

    def authorization(self) -> str | None:
        """Return the Authorization header for the server's own origin."""

    def renew(self, refused: str | None, challenge: str) -> bool:
        """After a 401: get another authorization than the refused one; False when there is none to get."""

    def check(self, path: str, status: int, headers: Mapping[str, str]) -> HubError | None:
        """Return why an answer of the server's own origin ends the matter; None when it is as it should be."""


@dataclass(slots=True)
class Place:
    """Where one file is. `direct` is where the server's redirects led last, to spare asking it again for each range."""

    server: Server
    url: str
    path: str
    """Name of the file, for people."""
    direct: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """An answer with bytes from `position` on. `total` is the whole file's size as the answer says it; None when it does not."""

    position: int
    total: int | None
    pause_seconds: float
    """How long the server asks to send no more requests."""
    endpoint: str
    _response: urllib3.BaseHTTPResponse

    def read(self, length: int) -> bytes:
        """Return at most `length` bytes; none at the end.

        Raises:
            SourceUnavailableError: the connection broke.
        """
        with _transport_errors(self.endpoint):
            return self._response.read(length, decode_content=False)


class Ranges:
    """Asks servers for ranges. May be used by several threads at once, each with a connection of its own.

    Proxies and certificate authorities are those of the environment: ``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``.
    """

    def __init__(self, *, connections: int) -> None:
        context = ssl.create_default_context()
        self._direct = urllib3.PoolManager(num_pools=8, maxsize=connections, ssl_context=context)
        self._proxies = getproxies()
        self._through: dict[str, urllib3.ProxyManager] = {
            scheme: urllib3.ProxyManager(self._proxies[scheme], num_pools=8, maxsize=connections, ssl_context=context)
            for scheme in ("http", "https")
            if scheme in self._proxies
        }

    @contextmanager
    def open(self, place: Place, start: int, end: int | None) -> Generator[Body]:
        """Ask for the bytes from `start` to `end` (exclusive); `end` None asks for the whole file, without a range.

        The body may begin elsewhere than asked: servers may ignore ranges (RFC 9110 §14.2).

        Raises:
            HubError: `SourceUnavailableError` is worth trying again.
        """
        byte_range = None if end is None else f"bytes={start}-{end - 1}"
        response = self._response(place, byte_range)
        try:
            yield self._body(response, place, byte_range)
        finally:
            # What was read to its end goes back to be used again; the rest of anything else is not waited for.
            if response.length_remaining == 0:
                response.release_conn()
            else:
                response.close()

    def _response(self, place: Place, byte_range: str | None) -> urllib3.BaseHTTPResponse:
        endpoint, direct = place.server.endpoint, place.direct
        if direct is not None:
            response = self._ask(direct, None, byte_range, endpoint)
            if response.status not in (*_STALE, *_REDIRECTS):
                return self._usable(response, place, own=False)
            response.close()  # signed addresses expire
            place.direct = None
        url, own = place.url, True
        for _ in range(_REDIRECTS_MAX + 1):
            response = self._authorized(url, byte_range, place.server) if own else self._ask(url, None, byte_range, endpoint)
            if own:
                problem = place.server.check(place.path, response.status, response.headers)
                if problem is not None:
                    response.close()
                    raise problem
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None:
                if not own:
                    place.direct = url
                return self._usable(response, place, own=own)
            if (response.length_remaining or _BODY_MAX_BYTES) < _BODY_MAX_BYTES:
                response.drain_conn()
                response.release_conn()
            else:
                response.close()
            url = urljoin(url, location)
            own = own and _origin(url) == _origin(place.url)
        raise SourceUnavailableError(f"{endpoint} redirects without end for {place.path!a}")

    def _authorized(self, url: str, byte_range: str | None, server: Server) -> urllib3.BaseHTTPResponse:
        """Ask the server's own origin, with a fresh authorization when the one at hand is not good any more."""
        for _ in range(_RENEWALS_MAX):
            authorization = server.authorization()
            response = self._ask(url, authorization, byte_range, server.endpoint)
            if response.status != 401 or not server.renew(authorization, response.headers.get("www-authenticate", "")):
                return response
            response.close()
        return self._ask(url, server.authorization(), byte_range, server.endpoint)

    def _ask(self, url: str, authorization: str | None, byte_range: str | None, endpoint: str) -> urllib3.BaseHTTPResponse:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SourceUnavailableError(f"{endpoint} points to an address that is not understood")
        headers = {"Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
        if authorization is not None:
            headers["Authorization"] = authorization
        if byte_range is not None:
            headers["Range"] = byte_range
        manager: urllib3.PoolManager = self._direct
        if parts.scheme in self._through and not proxy_bypass(parts.hostname):
            manager = self._through[parts.scheme]
        with _transport_errors(endpoint):
            return manager.request(
                "GET", url, headers=headers, preload_content=False, redirect=False, retries=False, timeout=_TIMEOUT
            )

    def _usable(self, response: urllib3.BaseHTTPResponse, place: Place, *, own: bool) -> urllib3.BaseHTTPResponse:
        status = response.status
        if status in (200, 206, 416):
            return response
        endpoint = place.server.endpoint
        retry_after = _retry_after(status, response.headers)
        response.close()
        if status in _TRANSIENT or status >= 500:
            raise SourceUnavailableError(f"{endpoint} answered {status} for {place.path!a}", retry_after=retry_after)
        if status == 404 and own:
            raise SourceNotFoundError(f"{endpoint} has no {place.path!a}")
        raise SourceUnavailableError(f"{endpoint} answered {status} for {place.path!a}, which is not understood")

    def _body(self, response: urllib3.BaseHTTPResponse, place: Place, byte_range: str | None) -> Body:
        headers = response.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise SourceUnavailableError(f"{place.server.endpoint} compresses {place.path!a} though it was asked not to")
        pause = rate_limit_pause(headers)
        if response.status == 200:
            length = headers.get("content-length", "")
            total = int(length) if length.isdecimal() and len(length) < 19 else None
            return Body(0, total, pause, place.server.endpoint, response)
        match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if match is None or byte_range is None or (match[1] is None) is (response.status == 206):
            raise SourceUnavailableError(
                f"{place.server.endpoint} answers a range of {place.path!a} in a way that is not understood"
            )
        total = int(match[3])
        return Body(total if match[1] is None else int(match[1]), total, pause, place.server.endpoint, response)


def rate_limit_pause(headers: Mapping[str, str]) -> float:
    """Return for how many seconds no request is left in the window that an answer tells about."""
    match = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    if match is None or int(match[1]) > 0:
        return 0.0
    return float(match[2]) + 1.0  # the header is rounded down


@contextmanager
def _transport_errors(endpoint: str) -> Generator[None]:
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        # Not the error's own text: it may hold a signed address.
        raise SourceUnavailableError(f"{endpoint} cannot be reached: {_said(error)}") from error


def _said(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it did not answer in time"
    cause = error.__cause__ or (error.args[-1] if error.args and isinstance(error.args[-1], Exception) else error)
    return os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else type(cause).__name__


def _retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    pause = rate_limit_pause(headers)
    if status == 429 and pause:
        return pause
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isdecimal() and len(value) < 10 else None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
