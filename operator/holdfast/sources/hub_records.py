"""What is recorded beside a pin: terms, gate, refs, scans and signatures. None of it decides anything, so none of it may fail a pin."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import yaml

from holdfast.api.revision import License, LicenseFile, Recorded
from holdfast.sources.hub_client import Description, HubClient, RepositoryFile
from holdfast.sources.hub_errors import HubError

TERMS: Final = re.compile(r"[^/]*(licen[cs]e|copying|notice|use[-_]policy)[^/]*", re.IGNORECASE)
"""Files with terms, at the top of a repository."""
CARD: Final = "README.md"
_SIGNATURES: Final = re.compile(r"(.*/)?[^/]*\.(sig|sigstore|sigstore\.json)", re.DOTALL)
"""Bundles of model-signing and of sigstore."""
_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
_FRONT_MATTER_MAX: Final = 64 * 1024
_MOST: Final = 16
_LONGEST: Final = 256


def recorded(
    client: HubClient,
    files: Sequence[RepositoryFile],
    description: Description,
    *,
    repository: str,
    commit: str,
    card: str | None,
    terms: Iterable[LicenseFile],
) -> Recorded:
    """Return what is known beside the bytes.

    Args:
        client: whom to ask which refs mean the commit.
        files: all files of the commit.
        description: what the Hub says about the repository.
        repository: owner and name.
        commit: 40 hex digits.
        card: the text of the model card at the commit, if there is one.
        terms: files with terms and their hashes.
    """
    signatures = [file.path for file in files if _SIGNATURES.fullmatch(file.path) and len(file.path) <= _LONGEST]
    return Recorded(
        license=_license(card, list(terms)[:_MOST]),
        gated=description.gated,
        refs=_refs(client, repository, commit) or None,
        last_modified=description.last_modified,
        security_status=_text(description.security_status),
        signatures=signatures[:_MOST] or None,
    )


def front_matter(card: str) -> dict[str, Any]:
    """Return the YAML at the head of a model card; empty when there is none that can be read."""
    match = _FRONT_MATTER.match(card[:_FRONT_MATTER_MAX])
    if match is None:
        return {}
    try:
        found = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _license(card: str | None, terms: list[LicenseFile]) -> License | None:
    data = front_matter(card) if card else {}
    found = License(id=_license_id(data), files=terms or None, base_models=_texts(data.get("base_model"))[:_MOST] or None)
    return found if found.wire() else None


def _license_id(data: dict[str, Any]) -> str | None:
    """Return the identifier; ``other`` with the name that the card gives it (Hub documentation, model cards)."""
    names = _texts(data.get("license"))
    name = _text(data.get("license_name"))
    if names == ["other"] and name:
        return _text(f"other: {name}")
    return _text(", ".join(names)) if names else None


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for each in values if (text := _text(each))]


def _text(value: object) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value.strip() else None


def _refs(client: HubClient, repository: str, commit: str) -> list[str]:
    try:
        with client.errors():
            return [ref for ref in client.refs_to(repository, commit) if len(ref) <= _LONGEST][:_MOST]
    except HubError:
        return []
