"""Each answer of the API server is one of four kinds of trouble."""

from typing import Any

import pytest

from holdfast.cluster.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Failure,
    NotFound,
    Rejected,
    Transient,
    Waiting,
    from_response,
)


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (400, {"reason": "BadRequest"}, Rejected),
        (401, {"reason": "Unauthorized"}, Transient),
        (403, {"reason": "Forbidden"}, Rejected),
        (403, {"reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}, Waiting),
        (404, {"reason": "NotFound"}, NotFound),
        (409, {"reason": "AlreadyExists"}, AlreadyExists),
        (409, {"reason": "Conflict"}, Conflict),
        (410, {"reason": "Expired"}, Expired),
        (413, {"reason": "RequestEntityTooLarge"}, Rejected),
        (422, {"reason": "Invalid"}, Rejected),
        (422, {"reason": "Invalid", "details": {"causes": [{"field": "spec.selector"}]}}, Rejected),
        (422, {"reason": "Invalid", "details": {"causes": [{"field": "metadata.uid"}]}}, Conflict),
        (429, {"reason": "TooManyRequests"}, Transient),
        (500, {"reason": "InternalError"}, Transient),
        (503, {}, Transient),
        (504, {"reason": "Timeout"}, Transient),
        (302, {}, Transient),
    ],
)
def test_every_answer_has_its_kind(code: int, body: dict[str, Any], kind: type[Failure]) -> None:
    assert type(from_response(code, body, what="get pods ns/a")) is kind


def test_the_message_says_what_was_asked_and_what_was_answered() -> None:
    failure = from_response(403, {"message": "pods is forbidden"}, what="create pods ns/a")
    assert str(failure) == "create pods ns/a: pods is forbidden"


@pytest.mark.parametrize(
    ("header", "body"), [(7.0, {}), (None, {"details": {"retryAfterSeconds": 7}}), (7.0, {"details": {"retryAfterSeconds": 1}})]
)
def test_the_servers_wish_to_wait_is_kept(header: float | None, body: dict[str, Any]) -> None:
    failure = from_response(429, body, what="get", retry_after=header)
    assert isinstance(failure, Transient)
    assert failure.retry_after == 7
