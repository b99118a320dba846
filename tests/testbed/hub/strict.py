"""Reads requests without tolerance: whatever the Hub's clients do not send is an `UnexpectedError`."""

import json
import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, unquote_to_bytes

from testbed.hub.content import Source
from testbed.hub.wire import Request, UnexpectedError

_BEARER = re.compile(r"[Bb]earer ([A-Za-z0-9._~+/=-]+)")
_CODINGS = re.compile(r"\s*[\w*-]+(;q=[01](\.\d{1,3})?)?\s*(,\s*[\w*-]+(;q=[01](\.\d{1,3})?)?\s*)*")
_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONDITIONAL = ("If-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range")
_ENTITY_TAG = re.compile(r'W/"[0-9a-f]+-[A-Za-z0-9+/]+={0,2}"')


def split_path(path: str) -> tuple[str, ...]:
    """Return the decoded segments of a raw path."""
    if not path.startswith("/"):
        raise UnexpectedError(f"the request target {path!r} is not a path")
    return tuple(_decode(part) for part in path[1:].split("/"))


def parse_query(query: str) -> tuple[tuple[str, str], ...]:
    """Return the decoded parameters of a raw query, repeated ones too."""
    if not query:
        return ()
    if _BAD_ESCAPE.search(query):
        raise UnexpectedError(f"the query {query!r} has a broken percent escape")
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict"))
    except ValueError as exc:
        raise UnexpectedError(f"the query {query!r} cannot be read: {exc}") from exc


def check_headers(headers: Mapping[str, str], *, method: str, has_body: bool) -> None:
    """Refuse headers that are malformed or that would change the answer in ways that the hub does not model."""
    for name in _CONDITIONAL:
        if name in headers:
            raise UnexpectedError(f"the header {name} is not supported")
    codings = headers.get("Accept-Encoding")
    if codings is not None and not _CODINGS.fullmatch(codings):
        raise UnexpectedError(f"the header Accept-Encoding is malformed: {codings!r}")
    if "Range" in headers and method != "GET":
        raise UnexpectedError(f"a Range header on {method}")
    if has_body and method != "POST":
        raise UnexpectedError(f"a body on {method}")


def condition(headers: Mapping[str, str], *, tagged: bool) -> str | None:
    """Return the ETag of the header If-None-Match, None when there is no header; only `tagged` answers take one.

    Outside fact: RFC 9110 §13.1.2. Lists of several tags are not supported.
    """
    value = headers.get("If-None-Match")
    if value is None:
        return None
    if not tagged:
        raise UnexpectedError("the header If-None-Match is not supported here")
    if not _ENTITY_TAG.fullmatch(value):
        raise UnexpectedError(f"the header If-None-Match is not an ETag that this hub gives out: {value!r}")
    return value


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """Return the token of the Authorization header, None when there is no header."""
    value = headers.get("Authorization")
    if value is None:
        return None
    match = _BEARER.fullmatch(value)
    if match is None:
        raise UnexpectedError("the header Authorization is not 'Bearer <token>'")
    return match.group(1)


def parse_range(headers: Mapping[str, str], source: Source) -> tuple[int, int] | None:
    """Return start and end (exclusive) of the asked range, None for all; ``(size, size)`` when it lies outside.

    Outside fact: RFC 9110 §14.1.2. Several ranges at once are not supported.
    """
    value = headers.get("Range")
    if value is None:
        return None
    match = _RANGE.fullmatch(value)
    if match is None:
        raise UnexpectedError(f"the header Range is malformed or asks for several ranges: {value!r}")
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(int(suffix), source.size)
        return (source.size - length, source.size)
    start = int(first)
    end = min(int(last) + 1, source.size) if last else source.size
    if last and int(last) < start:
        raise UnexpectedError(f"the header Range ends before it begins: {value!r}")
    return (start, end) if start < source.size else (source.size, source.size)


class Parameters:
    """The query of a request; `done` refuses what nobody asked for."""

    def __init__(self, query: Collection[tuple[str, str]]) -> None:
        self._left = list(query)

    def all(self, name: str) -> list[str]:
        """Take every value of a parameter."""
        values = [v for n, v in self._left if n == name]
        self._left = [(n, v) for n, v in self._left if n != name]
        return values

    def one(self, name: str) -> str | None:
        """Take the value of a parameter that may be given once."""
        values = self.all(name)
        if len(values) > 1:
            raise UnexpectedError(f"the query parameter {name!r} is given {len(values)} times")
        return values[0] if values else None

    def flag(self, name: str, *, forms: Mapping[str, bool] | None = None) -> bool:
        """Take a boolean parameter; absent is False."""
        value = self.one(name)
        known = forms or {"true": True, "false": False}
        if value is None:
            return False
        if value not in known:
            raise UnexpectedError(f"the query parameter {name!r} has the value {value!r}, expected one of {list(known)}")
        return known[value]

    def done(self) -> None:
        """Refuse the request when parameters are left over."""
        if self._left:
            raise UnexpectedError(f"unknown query parameters: {sorted({n for n, _ in self._left})}")


def post_fields(request: Request) -> dict[str, list[str]]:
    """Return the fields of a POST body, form or JSON, each as a list of texts."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if kind == "application/x-www-form-urlencoded":
        fields: dict[str, list[str]] = {}
        for name, value in parse_query(request.body.decode("ascii", "strict")):
            fields.setdefault(name, []).append(value)
        return fields
    if kind == "application/json":
        return _json_fields(request.body)
    raise UnexpectedError(f"a POST body of type {kind!r}")


def _json_fields(body: bytes) -> dict[str, list[str]]:
    try:
        value = json.loads(body)
    except ValueError as exc:
        raise UnexpectedError(f"a POST body that is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise UnexpectedError("a POST body that is not a JSON object")
    return {name: [_text(i) for i in (v if isinstance(v, list) else [v])] for name, v in value.items()}


def _text(item: object) -> str:
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, str):
        return item
    raise UnexpectedError(f"a POST field with a value of type {type(item).__name__}")


def _decode(part: str) -> str:
    if _BAD_ESCAPE.search(part):
        raise UnexpectedError(f"the path segment {part!r} has a broken percent escape")
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError as exc:
        raise UnexpectedError(f"the path segment {part!r} is not UTF-8") from exc
