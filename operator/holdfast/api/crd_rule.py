"""One rule of a schema in CEL, and how text and patterns are written in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

RuleReason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule at one place of a schema."""

    path: str
    """Where `self` is, as `holdfast.api.crd_schema.walk` writes it; empty for the object itself."""
    expression: str
    message: str
    """What to write instead. Unique within a kind; the reference of errors is keyed by it."""
    message_expression: str | None = None
    """CEL for a message that names the value; `message` stands in when it fails."""
    field: str | None = None
    """The field that the error names, below `path`."""
    reason: RuleReason = "FieldValueInvalid"
    states: tuple[str, ...] = ()
    """Fields directly below `path` whose presence or pattern this rule states, so that the schema need not, in worse words."""
    lengths: Mapping[str, int] | None = None
    """Other maximum lengths for these fields, so that the rule's message is seen and not "Too long"."""


def text(value: str) -> str:
    """Return a CEL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def regex(pattern: str) -> str:
    """Return a raw CEL string literal of an RE2 pattern.

    Raises:
        ValueError: the pattern has a quote, which a raw literal cannot hold.
    """
    if "'" in pattern:
        raise ValueError(f"no quote in {pattern}")
    return f"r'{pattern}'"


BAD_PATH: Final = r"(^|/)\.{0,2}(/|$)"
"""An empty part, ``.`` or ``..``; a slash at either end makes an empty part."""
