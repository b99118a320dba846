"""The pin: from a declared model and the Hub's answer to one exact identity and its digest.

A digest covers fields that the owner declared or that were resolved for them, never a rendered pod: another Holdfast, another
Kubernetes or another library makes no new identity.
"""

import hashlib
import json
from typing import Any, NamedTuple

import rfc8785

from holdfast.api.manifest import manifest_bytes, manifest_digest
from holdfast.api.model import Engine, Model
from holdfast.api.revision import ResolvedModel, ResolvedSource

__all__ = [
    "Difference",
    "declared_digest",
    "differences",
    "manifest_bytes",
    "manifest_digest",
    "pin_digest",
    "resolve_model",
    "short_digest",
]


def declared_digest(model: Model) -> str:
    """Return ``sha256:`` and the digest of the canonical JSON of a declared model: which declaration a resolution answers."""
    return f"sha256:{_canonical_sha256(model.wire())}"


def pin_digest(model: ResolvedModel) -> str:
    """Return ``v1:`` and the sha256 of the RFC 8785 canonical JSON of a resolved model: its identity.

    Absent fields are not part of the JSON, so that a field which a later version of the API adds leaves digests as they are.
    """
    return f"v1:{_canonical_sha256(model.wire())}"


def short_digest(digest: str) -> str:
    """Return a digest shortened for people and for the ``system_fingerprint`` of answers: the scheme and 12 hex digits."""
    scheme, _, value = digest.partition(":")
    return f"{scheme}:{value[:12]}"


def resolve_model(name: str, model: Model, source: ResolvedSource) -> ResolvedModel:
    """Return the resolved form of a ModelDeployment's declared model.

    What was left out gets its documented meaning (the served name is the deployment's `name`); empty objects become absent,
    because they say nothing and must not make another identity.
    """
    engine = model.engine
    options = engine.options if engine.options and engine.options.wire() else None
    generation = model.generation if model.generation and model.generation.wire() else None
    return ResolvedModel(
        source=source.model_copy(update={"files": sorted(source.files, key=lambda file: file.path)}),
        engine=Engine(type=engine.type, image=engine.image, options=options, args=engine.args or None),
        chat_template=model.chat_template.text if model.chat_template else None,
        generation=generation,
        served_name=model.served_name or name,
    )


class Difference(NamedTuple):
    """One field that differs: its path as written in YAML, and both values as text (None: absent)."""

    field: str
    old: str | None
    new: str | None


def differences(old: ResolvedModel, new: ResolvedModel) -> list[Difference]:
    """Return the fields in which two resolved models differ, ordered by field; files are compared by path."""
    before, after = _flat(old), _flat(new)
    return [
        Difference(field, before.get(field), after.get(field))
        for field in sorted(before.keys() | after.keys())
        if before.get(field) != after.get(field)
    ]


def _canonical_sha256(value: dict[str, Any]) -> str:
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def _flat(model: ResolvedModel) -> dict[str, str]:
    wire = model.wire()
    files = wire["source"].pop("files")
    flat: dict[str, str] = {}
    _flatten("", wire, flat)
    for file in files:
        flat[f"source.files[{file['path']}]"] = f"sha256:{file['sha256']} ({file['size']} bytes)"
    return flat


def _flatten(prefix: str, value: object, flat: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}" if prefix else key, inner, flat)
    elif isinstance(value, str):
        flat[prefix] = value
    else:
        flat[prefix] = json.dumps(value, ensure_ascii=False)
