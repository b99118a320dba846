"""The API server's time.

Deadlines are kept in status and must mean the same to every operator process, so the time that counts is the one that the API
server stamps on its answers (header Date, RFC 9110 §6.6.1, whole seconds), carried on by the local monotonic clock in between.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_SECOND = timedelta(seconds=1)
_TOLERANCE = timedelta(seconds=1.5)
"""Date is cut to whole seconds and travels; a difference up to this says nothing."""


class ServerClock:
    """The time of the API server that answered last."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._at: datetime | None = None
        self._seen = 0.0

    def observe(self, date: str | None) -> None:
        """Take the header Date of an answer that has just arrived; what is no date is left out."""
        if date is None:
            return
        try:
            told = parsedate_to_datetime(date)
        except ValueError:
            return
        told = told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
        if self._at is not None:
            ahead = self.now() - told
            if timedelta() <= ahead <= _TOLERANCE:
                return  # the carried time agrees, and it has more digits
            if ahead > _TOLERANCE:
                told += _SECOND  # the true time is somewhere in the second that was cut off
        self._at, self._seen = told, self._monotonic()

    def now(self) -> datetime:
        """Return the time, in UTC.

        Raises:
            RuntimeError: no answer of the API server was seen yet.
        """
        if self._at is None:
            raise RuntimeError("the API server's time is not known before its first answer")
        return self._at + timedelta(seconds=self._monotonic() - self._seen)
