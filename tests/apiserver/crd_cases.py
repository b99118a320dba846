"""The form of a case of a rule: what it accepts, and what it refuses with which words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Changes = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One rule, found by its message: changes of the valid object that it accepts, and that it refuses with these words."""

    kind: str
    message: str
    accepts: tuple[Changes, ...]
    refuses: tuple[tuple[Changes, str], ...]
    before: Changes = field(default_factory=dict)
    """What is stored first, for rules about changes."""


def one(kind: str, message: str, accepts: Changes, refuses: Changes, says: str | None = None) -> Case:
    return Case(kind=kind, message=message, accepts=(accepts,), refuses=((refuses, says or message),))
