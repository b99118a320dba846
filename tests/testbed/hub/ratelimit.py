"""Rate limits as the Hub announces and enforces them.

Outside fact: fixed windows of five minutes in three buckets, two headers on each answer
(https://huggingface.co/docs/hub/rate-limits; header form: draft-ietf-httpapi-ratelimit-headers-09).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Bucket = Literal["api", "resolvers"]

# The published quotas of the Enterprise Plus plan: real, and far above what a test bed needs.
DEFAULT_QUOTAS: dict[Bucket, int] = {"api": 10_000, "resolvers": 100_000}
DEFAULT_WINDOW_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left for one caller in one bucket; ``allowed`` is whether this request was within it."""

    bucket: Bucket
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    allowed: bool

    def headers(self) -> dict[str, str]:
        """Return the headers that announce the allowance."""
        return {
            "RateLimit": f'"{self.bucket}";r={self.remaining};t={self.reset_seconds}',
            "RateLimit-Policy": f'"fixed window";"{self.bucket}";q={self.quota};w={self.window_seconds}',
        }

    def exhausted(self, reset_seconds: int) -> "Allowance":
        """Return the same allowance with nothing left."""
        return Allowance(self.bucket, self.quota, self.window_seconds, 0, reset_seconds, False)


class RateLimiter:
    """Counts requests per caller and bucket in fixed windows. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._used: dict[tuple[Bucket, str], tuple[float, int]] = {}
        self.quotas = dict(DEFAULT_QUOTAS)
        self.window_seconds = DEFAULT_WINDOW_SECONDS

    def configure(self, quotas: Mapping[Bucket, int], window_seconds: int | None) -> None:
        """Change quotas and window, and begin all windows anew."""
        self.quotas.update(quotas)
        self.window_seconds = window_seconds or self.window_seconds
        self._used.clear()

    def take(self, bucket: Bucket, caller: str) -> Allowance:
        """Count one request of the caller."""
        now = self._clock()
        start, used = self._used.get((bucket, caller), (now, 0))
        if now - start >= self.window_seconds:
            start, used = now, 0
        used += 1
        self._used[bucket, caller] = (start, used)
        quota = self.quotas[bucket]
        reset = max(int(start + self.window_seconds - now), 0)
        return Allowance(bucket, quota, self.window_seconds, max(quota - used, 0), reset, used <= quota)
