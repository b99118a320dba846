"""The pin: from a declared model and the Hub's answer to one exact identity and its digest.

A digest covers fields that the owner declared or that were resolved for them, never a rendered pod: another Holdfast, another
Kubernetes or another library makes no new identity.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import rfc8785

from holdfast.api.found import Found
from holdfast.api.manifest import manifest_bytes, manifest_digest
from holdfast.api.model import Model, RemoteCode
from holdfast.api.revision import ResolvedAdapter, ResolvedDraftModel, ResolvedModel, ResolvedSource
from holdfast.domain import effective
from holdfast.domain.effective import NEUTRAL

__all__ = [
    "NEUTRAL",
    "Difference",
    "declared_digest",
    "differences",
    "fields_of",
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


def resolve_model(name: str, model: Model, found: Mapping[str, Found]) -> ResolvedModel:
    """Return the resolved form of a ModelDeployment's declared model.

    What was left out gets its documented meaning (the served name is the deployment's `name`), in so many words: nothing is left
    to an engine's default.

    Args:
        name: of the ModelDeployment.
        model: as it is declared.
        found: the answer for each source, by its field (`holdfast.domain.questions`).

    Raises:
        UnreadableError: a file of the model is not what its name says, or does not say what has to be known.
    """
    source, tokenizer = found["source"], found.get("tokenizer")
    language = tokenizer or source
    code = [_sorted(found[f"code[{index}]"]) for index in range(len(model.code or ()))]
    adapters = [
        ResolvedAdapter(name=adapter.name, source=_sorted(found[f"adapters[{index}].source"]))
        for index, adapter in enumerate(model.adapters or ())
    ]
    draft = model.draft_model
    return ResolvedModel(
        source=_sorted(source),
        tokenizer=_sorted(tokenizer) if tokenizer is not None else None,
        remote_code=model.remote_code or RemoteCode.FORBIDDEN,
        code=code or None,
        adapters=adapters or None,
        draft_model=ResolvedDraftModel(source=_sorted(found["draftModel.source"]), tokens=draft.tokens) if draft else None,
        engine=effective.engine(model.engine, source, language),
        checkpoint_quantization=effective.checkpoint_quantization(model.engine.type, source),
        chat_template=effective.template(model.chat_template, model.engine.type, language),
        generation=effective.generation(model.generation, model.engine.type, source),
        served_name=model.served_name or name,
    )


def _sorted(found: Found) -> ResolvedSource:
    files = sorted(found.source.files, key=lambda file: file.path) if found.source.files is not None else None
    return found.source.model_copy(update={"files": files})


class Difference(NamedTuple):
    """One field that differs: its path as written in YAML, and both values as text (None: absent)."""

    field: str
    old: str | None
    new: str | None


def differences(old: ResolvedModel, new: ResolvedModel) -> list[Difference]:
    """Return the fields in which two resolved models differ, ordered by field; files are compared by path."""
    before, after = fields_of(old), fields_of(new)
    return [
        Difference(field, before.get(field), after.get(field))
        for field in sorted(before.keys() | after.keys())
        if before.get(field) != after.get(field)
    ]


def _canonical_sha256(value: dict[str, Any]) -> str:
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def fields_of(model: ResolvedModel) -> dict[str, str]:
    """Return every field of a resolved model by its path as written in YAML, with its value as text."""
    flat: dict[str, str] = {}
    _flatten("", model.wire(), flat)
    return flat


def _flatten(prefix: str, value: object, flat: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "files":
                for file in inner:
                    flat[f"{prefix}.files[{file['path']}]"] = f"sha256:{file['sha256']} ({file['size']} bytes)"
            else:
                _flatten(f"{prefix}.{key}" if prefix else key, inner, flat)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, inner in enumerate(value):
            _flatten(f"{prefix}[{_name_of(inner, index)}]", inner, flat)
    elif isinstance(value, str):
        flat[prefix] = value
    else:
        flat[prefix] = json.dumps(value, ensure_ascii=False)


def _name_of(item: dict[str, Any], index: int) -> str:
    """Return how an item of a list is told from the others, so that one more does not make all that follow it differ."""
    repository = item.get("huggingFace", {}).get("repository")
    return str(item.get("name") or repository or index)
