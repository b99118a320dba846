"""Server-side apply for one manager, as far as the operator's objects need it (KEP-555)."""

import copy
from typing import Any


def merge(live: Any, body: Any) -> Any:
    """Lay an applied body over the live object. Lists of named items merge by name, as list-maps do; other lists are replaced."""
    if isinstance(live, dict) and isinstance(body, dict):
        return {**live, **{name: merge(live.get(name), value) for name, value in body.items()}}
    if _is_map(live) and _is_map(body):
        by_name = {item["name"]: item for item in live}
        wanted = {item["name"] for item in body}
        merged = [merge(by_name.get(item["name"]), item) for item in body]
        return merged + [copy.deepcopy(item) for item in live if item["name"] not in wanted]
    return copy.deepcopy(body)


def subtract(live: Any, applied: Any, body: Any) -> Any:
    """Take away what was applied before and is not any more."""
    if isinstance(live, dict) and isinstance(applied, dict):
        mapping = body if isinstance(body, dict) else {}
        kept = {name: value for name, value in live.items() if name not in applied or name in mapping}
        return {name: subtract(value, applied[name], mapping[name]) if name in applied else value for name, value in kept.items()}
    if _is_map(live) and _is_map(applied) and _is_map(body):
        dropped = {item["name"] for item in applied} - {item["name"] for item in body}
        return [item for item in live if item["name"] not in dropped]
    return live


def _is_map(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "name" in item for item in value)
