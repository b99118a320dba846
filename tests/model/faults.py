"""Calls of the operator, and how they can be made to fail."""

from dataclasses import dataclass
from typing import Literal

from holdfast.api.names import Key
from holdfast.cluster.kinds import Kind


class Crash(BaseException):
    """The operator's process is killed."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the operator."""

    verb: str
    """As RBAC calls it: get, list, create, patch, update, delete."""
    kind: Kind
    key: Key | None
    subresource: str = ""

    @property
    def is_write(self) -> bool:
        return self.verb not in ("get", "list")


@dataclass(slots=True)
class Fault:
    when: Literal["before", "after"]
    error: BaseException
    verb: str | None
    kind: Kind | None
    skip: int

    def hits(self, when: str, call: Call) -> bool:
        if when != self.when or self.verb not in (None, call.verb) or self.kind not in (None, call.kind):
            return False
        if self.verb is None and not call.is_write:
            return False  # a fault that names no verb is one of writes
        self.skip -= 1
        return self.skip < 0
