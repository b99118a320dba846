"""The file ``identity.json`` of a revision: what its engine has to say about itself. `holdfast.identity` reads it.

The names of the facts are fields of the approved model, so that a message about another value says what to look at.
"""

from collections.abc import Sequence
from typing import Any, Final

import rfc8785

from holdfast.api.revision import ResolvedModel
from holdfast.render.version1.container import ADAPTERS, MODEL

IDENTITY_KEY: Final = "identity.json"
_COMPLETIONS: Final = "/v1/completions"

Document = dict[str, Any]
"""One of the objects of the file; `holdfast.identity.facts` describes them."""


def fact(name: str, path: str, field: str, expected: object) -> Document:
    """Return that a field of the answer at a path has a value; ``*`` in the field stands for the items of a list, in any order."""
    return {"name": name, "path": path, "field": field, "expected": expected}


def constant(name: str, path: str, field: str) -> Document:
    """Return that a field keeps the value that the engine reports first."""
    return {"name": name, "path": path, "field": field}


def served_names(model: ResolvedModel) -> list[str]:
    """Return every model name that clients may send."""
    return [model.served_name, *(adapter.name for adapter in model.adapters or ())]


def folders(model: ResolvedModel) -> list[str]:
    """Return where the served models are loaded from, in the order of `served_names`."""
    return [MODEL, *(f"{ADAPTERS}/{adapter.name}" for adapter in model.adapters or ())]


def completions(names: Sequence[str], *, fingerprint: str | None = None) -> list[Document]:
    """Return one short completion for each name, and the fingerprint that its answer carries."""
    facts = [] if fingerprint is None else [{"name": "digest", "field": "system_fingerprint", "expected": fingerprint}]
    return [{"path": _COMPLETIONS, "body": {"model": name, "prompt": "Hello", "max_tokens": 1}, "facts": facts} for name in names]


def document(facts: Sequence[Document], constants: Sequence[Document], asked: Sequence[Document]) -> bytes:
    """Return the file: RFC 8785 JSON, the same for the same model for ever."""
    return rfc8785.dumps({"facts": list(facts), "constants": list(constants), "completions": list(asked)})
