"""Why the Hub's answer cannot be used. Each error carries the `Reason` that conditions, Events and the command line show."""

from typing import ClassVar

from holdfast.api.reasons import Reason


class HubError(Exception):
    """Base of the errors of this package. `str()` is one sentence for people: what is wrong and what to do.

    `retry_after` is how many seconds the Hub asked to wait; None when it did not say or when waiting does not help.
    """

    reason: ClassVar[Reason]

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceNotFoundError(HubError):
    """The repository, the commit or a file is not there (or is hidden from this token)."""

    reason = Reason.SOURCE_NOT_FOUND


class SourceForbiddenError(HubError):
    """The repository is gated or disabled, or the token is not valid."""

    reason = Reason.SOURCE_FORBIDDEN


class SourceUnavailableError(HubError):
    """The Hub cannot be reached, is overloaded or does not make sense: worth trying again."""

    reason = Reason.SOURCE_UNAVAILABLE


class SourceMismatchError(HubError):
    """The Hub answered with something else than what is pinned."""

    reason = Reason.SOURCE_MISMATCH


class SourceUnusableError(HubError):
    """The repository has what Holdfast does not take: too many files, paths that are not safe to write."""

    reason = Reason.INVALID_SPEC
