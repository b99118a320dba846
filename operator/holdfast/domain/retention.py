"""Which files in the claim of a cache must stay: those that a ModelRevision names. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import rfc8785

from holdfast.api.deployment import Unused
from holdfast.api.revision import ModelRevisionSpec
from holdfast.domain.artifacts import artifacts
from holdfast.domain.snapshot import Snapshot

NAMED_KEY: Final = "named.json"
"""Where `named_bytes` are, in their ConfigMap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The manifest digests, in order, that were named when `revision` was the newest."""

    revision: int
    manifest_digests: tuple[str, ...]


def named(snapshot: Snapshot) -> Named | None:
    """Return what every ModelRevision names, whatever became of it; None when nothing may be deleted.

    Nothing may be as long as something lives, or has a role, whose ModelRevision is gone: what it reads is not known.
    """
    spec = snapshot.deployment.spec
    cache = spec.serving.cache if spec is not None and spec.serving is not None else None
    if cache is None or cache.unused is not Unused.DELETE:
        return None
    known = {view.spec.number for view in snapshot.revisions}
    if not known or not _alive(snapshot) <= known:
        return None
    return named_by(view.spec for view in snapshot.revisions)


def named_by(revisions: Iterable[ModelRevisionSpec]) -> Named:
    """Return what revisions name; there must be one at least."""
    specs = tuple(revisions)
    digests = {artifact.source.manifest_digest for spec in specs for artifact in artifacts(spec.model)}
    return Named(revision=max(spec.number for spec in specs), manifest_digests=tuple(sorted(digests)))


def named_bytes(named: Named) -> bytes:
    """Return what ``holdfast-weights`` reads (``--named``): RFC 8785 JSON."""
    return rfc8785.dumps({"revision": named.revision, "manifestDigests": list(named.manifest_digests)})


def _alive(snapshot: Snapshot) -> set[int]:
    """Return the numbers of revisions that run, are fetched, or have a role."""
    status = snapshot.deployment.status
    roles = (status.stable, status.candidate, status.last_known_good, status.desired)
    numbers = {role.revision for role in roles if role is not None}
    if status.fallback is not None and status.fallback.revision is not None:
        numbers.add(status.fallback.revision)
    numbers |= {pod.revision for pod in (*snapshot.pods, *snapshot.fetchers)}
    return numbers | {view.revision for view in snapshot.engines} | {view.revision for view in snapshot.fetches}
