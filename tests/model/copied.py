"""Copies of JSON, several times as fast as `copy.deepcopy` makes them."""

from typing import TypeVar, cast

Json = TypeVar("Json")


def copied(value: Json) -> Json:
    """Return a copy of what holds nothing but dicts, lists, text, numbers and None."""
    return cast("Json", _copied(value))


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
