"""What travels between a request and its answer inside the hub; nothing here knows the HTTP library."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from testbed.hub.accounts import Caller
from testbed.hub.content import Bytes, Source


class UnexpectedError(Exception):
    """A request that no client of the Hub sends: the hub answers 501 and remembers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request, taken apart.

    ``path`` and ``target`` (path and query) are as they came over the wire.
    ``query`` keeps repeated parameters; ``form`` is the decoded body of a POST.
    """

    method: str
    target: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer. ``compressible`` text is sent gzipped, without a length, to clients that accept it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Source | None = None
    content_type: str = "application/json; charset=utf-8"
    compressible: bool = False


def json_answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    return Answer(status=status, headers=headers or {}, body=Bytes(json.dumps(value).encode()))


def tagged(answer: Answer, known: str | None) -> Answer:
    """Return the answer with a weak ETag of its body, or 304 without a body when the client knows it.

    Outside fact: the form that Express gives its ETags, length and hash (https://www.npmjs.com/package/etag).
    """
    source = answer.body or Bytes(b"")
    body = source.read(0, source.size)
    tag = f'W/"{len(body):x}-{base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()[:27]}"'
    headers = {**answer.headers, "ETag": tag}
    return replace(answer, headers=headers) if tag != known else replace(answer, status=304, headers=headers, body=None)


def error(status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with an error as the Hub words it: ``X-Error-Code``, ``X-Error-Message`` and a JSON body."""
    coded = {"X-Error-Code": code} if code else {}
    return json_answer({"error": message}, status=status, headers={**coded, "X-Error-Message": message, **(headers or {})})


class RefusalError(Exception):
    """Ends the handling of a request with an error answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer
