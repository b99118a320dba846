"""Asking the engine, which listens on the pod's own loopback."""

import http.client
import json
from collections.abc import Mapping
from typing import Any, Final

_ANSWER_MAX_BYTES: Final = 4 * 2**20


class NotAnsweringError(Exception):
    """The engine cannot be asked now: it loads, ended, or refuses. `str()` says what happened."""


class SlowError(NotAnsweringError):
    """The engine took the request and did not answer in time: it is busy, or stuck."""


class Engine:
    """One engine at HOST:PORT. Times are in seconds."""

    def __init__(self, host: str, port: int, *, timeout: float, completion_timeout: float) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout
        self._completion_timeout = completion_timeout

    def get(self, path: str) -> Any:
        """Return the JSON at a path; raises NotAnsweringError."""
        return self._ask("GET", path, None, self._timeout)

    def complete(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON answer to a request; raises NotAnsweringError."""
        return self._ask("POST", path, json.dumps(body).encode(), self._completion_timeout)

    def _ask(self, method: str, path: str, body: bytes | None, timeout: float) -> Any:
        what = f"{method} {path}"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers={"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            content = answer.read(_ANSWER_MAX_BYTES + 1)
        except TimeoutError:
            raise SlowError(f"{what}: no answer within {timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise NotAnsweringError(f"{what}: {error or type(error).__name__}") from None
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise NotAnsweringError(f"{what}: status {answer.status}: {content[:200].decode(errors='replace')}")
        if len(content) > _ANSWER_MAX_BYTES:
            raise NotAnsweringError(f"{what}: the answer is longer than {_ANSWER_MAX_BYTES} bytes")
        try:
            return json.loads(content)
        except ValueError:
            raise NotAnsweringError(f"{what}: the answer is no JSON") from None
