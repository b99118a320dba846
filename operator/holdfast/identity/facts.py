"""What an engine has to say about itself: the file ``identity.json`` of a revision, and how answers are compared with it.

The file says which paths to ask and which values to find there, so that what is checked is part of the rendered, approved pod
and this program knows no engine:

    {"facts": [{"name": "servedName", "path": "/v1/models", "field": "data.*.id", "expected": ["chat"]}],
     "constants": [{"name": "version", "path": "/version", "field": "version"}],
     "completions": [{"path": "/v1/completions", "body": {...}, "facts": [{"name": ..., "field": ..., "expected": ...}]}]}

A field is a path of keys and indices; ``*`` stands for all items of a list, whose order does not matter. A constant may have any
value, but keeps the one that the engine reported first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_SHOWN_LENGTH: Final = 200


class IdentityFileError(Exception):
    """``identity.json`` cannot be used. `str()` says why."""


class MismatchError(Exception):
    """The engine is not what was approved. `str()` names the field, what was expected and what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A value to find. `name` is the field of the approved model that it comes from."""

    name: str
    field: str
    expected: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A value that may not change while the pod lives."""

    name: str
    path: str
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A request that the engine has to answer before it gets any other, and what its answer has to say."""

    path: str
    body: Mapping[str, Any]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Everything that is checked. `facts` are by the path that is asked for them."""

    facts: Mapping[str, tuple[Fact, ...]]
    constants: tuple[Constant, ...]
    completions: tuple[Completion, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path to ask, each once."""
        return tuple(dict.fromkeys([*self.facts, *(constant.path for constant in self.constants)]))


def load(path: Path) -> Identity:
    """Read ``identity.json``.

    Raises:
        IdentityFileError: it is missing, is no such file, or checks nothing.
    """
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise IdentityFileError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise IdentityFileError(f"{path}: not a list of facts ({type(error).__name__}: {error})") from error


def parse(raw: Mapping[str, Any]) -> Identity:
    """Return the content of ``identity.json``; raises KeyError, TypeError or ValueError when it is something else."""
    facts: dict[str, tuple[Fact, ...]] = {}
    for each in raw["facts"]:
        facts[each["path"]] = (*facts.get(each["path"], ()), _fact(each))
    constants = tuple(Constant(name=each["name"], path=each["path"], field=each["field"]) for each in raw["constants"])
    completions = tuple(
        Completion(path=each["path"], body=dict(each["body"]), facts=tuple(_fact(fact) for fact in each["facts"]))
        for each in raw["completions"]
    )
    if not facts or not completions:
        raise ValueError("it checks nothing")
    return Identity(facts=facts, constants=constants, completions=completions)


def _fact(raw: Mapping[str, Any]) -> Fact:
    return Fact(name=raw["name"], field=raw["field"], expected=raw["expected"])


def check(document: object, facts: tuple[Fact, ...], where: str) -> None:
    """Compare an answer with what was approved.

    Raises:
        MismatchError: a value is missing or another one.
    """
    for fact in facts:
        found = value(document, fact.field)
        if _comparable(found, fact.field) != _comparable(fact.expected, fact.field):
            raise MismatchError(f"{fact.name}: expected {_shown(fact.expected)}, the engine reports {_shown(found)} ({where})")


def constant(document: object, wanted: Constant, first: Mapping[str, Any]) -> Any:
    """Return the value of a constant; `first` are the values that were reported first, by name.

    Raises:
        MismatchError: it is missing, or not what it was.
    """
    found = value(document, wanted.field)
    if found is None:
        raise MismatchError(f"{wanted.name}: the engine reports none ({wanted.path})")
    before = first.get(wanted.name, found)
    if found != before:
        raise MismatchError(f"{wanted.name}: was {_shown(before)}, the engine now reports {_shown(found)} ({wanted.path})")
    return found


def value(document: object, field: str) -> Any:
    """Return what is at a field, or None when nothing is."""
    found: Any = document
    head, _, rest = field.partition(".")
    if head == "*":
        items = found if isinstance(found, list) else []
        return [value(item, rest) if rest else item for item in items]
    if isinstance(found, dict):
        found = found.get(head)
    elif isinstance(found, list) and head.isdecimal() and int(head) < len(found):
        found = found[int(head)]
    else:
        return None
    return value(found, rest) if rest else found


def _comparable(found: Any, field: str) -> Any:
    """Return a form in which equal values are equal: JSON, because 1 is not true and 1.0 is not 1 there."""
    texts = [json.dumps(item, sort_keys=True) for item in found] if isinstance(found, list) and "*" in field else None
    return json.dumps(found, sort_keys=True) if texts is None else sorted(texts)


def _shown(found: Any) -> str:
    text = json.dumps(found, ensure_ascii=False) if found is not None else "nothing"
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"
