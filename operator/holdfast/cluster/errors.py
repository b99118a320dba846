"""Why something could not be done. There are four kinds of trouble, and what follows from each differs.

    Failure
    ├── Rejected              a person must change something; asking again in the same way cannot help
    │   └── AlreadyExists     the name is taken (409 on a create)
    ├── Waiting               nothing is wrong, but it is not yet time: the namespace ends, an old object is being deleted
    └── Transient             asking again later can help: the network, an overloaded API server, a lost race
        ├── Conflict          the object is not the one that was seen (409 on anything but a create, 422 on a uid): look again first
        └── NotFound          the object is gone (404): look again first

Any other exception is a bug. The queue retries `Transient` and bugs with growing delays, and comes back to `Waiting` and
`Rejected` after a fixed one, since the cause of a rejection (a quota, a policy) may be gone without an event telling so.
"""

from typing import Any, Final

RETRY_WAITING: Final = 5.0
"""Seconds after which something that is `Waiting` is looked at again."""
RETRY_REJECTED: Final = 60.0
"""Seconds after which something that was `Rejected` is tried again."""


class Failure(Exception):  # noqa: N818 - two of the three kinds are no errors
    """Something could not be done. The message is written for people."""


class Rejected(Failure):
    """The API server refuses the request for what it says."""


class AlreadyExists(Rejected):
    """An object of this name exists already."""


class Waiting(Failure):
    """It is not yet time."""


class Transient(Failure):
    """Asking again later can help. `retry_after` is the wait in seconds that the server asked for."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(Transient):
    """The object is not the one that was seen: its uid or resourceVersion differs."""


class NotFound(Transient):
    """The object, its namespace or its kind does not exist."""


class Expired(Transient):
    """The state that a paged list began with is compacted (410): begin again."""


def from_response(code: int, status: dict[str, Any], *, what: str, retry_after: float | None = None) -> Failure:
    """Turn an answer of the API server into the failure that it means.

    Args:
        code: the HTTP status code.
        status: the body, a meta/v1 Status if the API server itself answered.
        what: what was asked, for the message: ``create deployments.apps team-a/chat-1``.
        retry_after: the header Retry-After in seconds.

    The codes and reasons are those of k8s.io/apimachinery pkg/apis/meta/v1 StatusReason.
    """
    reason = str(status.get("reason") or "")
    details = status.get("details") or {}
    causes = [cause for cause in details.get("causes") or [] if isinstance(cause, dict)]
    message = f"{what}: {status.get('message') or f'HTTP {code}'}"
    if retry_after is None and isinstance(details.get("retryAfterSeconds"), int | float):
        retry_after = float(details["retryAfterSeconds"])
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return Waiting(message)
    if code == 422 and any(cause.get("field") == "metadata.uid" for cause in causes):
        return Conflict(message)  # a patch that names another uid is called an invalid change of the uid
    if reason == "AlreadyExists":
        return AlreadyExists(message)
    match code:
        case 404:
            return NotFound(message)
        case 409:
            return Conflict(message)
        case 410:
            return Expired(message)
        case 400 | 403 | 405 | 406 | 413 | 415 | 422:
            return Rejected(message)
        case _:  # 401 (a token was rotated), 408, 429, 5xx and what a proxy may invent
            return Transient(message, retry_after=retry_after)
