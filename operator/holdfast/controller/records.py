"""What the mirror remembers of an object: as little as decisions and comparisons need.

A watched object as a tree of Python dicts takes some 30 KB; there are tens of thousands of them. Our own kinds are kept as the
views that decisions read, pods as a few fields, and all other children packed, since they are compared rarely.
"""

import json
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from holdfast.api.names import Key
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Manifest
from holdfast.domain.snapshot import ApprovalView, DeploymentView, EngineView, FetchView, Meta, PodView, RevisionView


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An object of our own kinds that this version of Holdfast cannot read: nothing is decided from it or written to it."""

    meta: Meta
    problem: str
    """What is wrong, and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveObject:
    """A child as the API server has it."""

    kind: Kind
    key: Key
    uid: str
    resource_version: str
    owner_uid: str | None
    """uid of the controlling owner; None for the gateway's objects, which belong to the namespace."""
    component: str
    deployment: str | None
    """Label: the ModelDeployment that it belongs to."""
    revision: int | None
    """Label: the revision that it belongs to."""
    deleting: bool
    created: datetime
    engine: EngineView | None = None
    """For the Deployment of an engine."""
    fetch: FetchView | None = None
    """For a Job that fetches."""
    packed: bytes = field(repr=False)

    def manifest(self) -> Manifest:
        """Return the object without its status and without managedFields."""
        unpacked: Manifest = json.loads(zlib.decompress(self.packed))
        return unpacked


def pack(raw: Manifest) -> bytes:
    """Shrink a manifest to what `LiveObject.manifest` returns."""
    metadata = {name: value for name, value in raw.get("metadata", {}).items() if name != "managedFields"}
    kept: dict[str, Any] = {name: value for name, value in raw.items() if name not in ("metadata", "status")}
    return zlib.compress(json.dumps({**kept, "metadata": metadata}, separators=(",", ":")).encode(), level=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRecord:
    """A pod of an engine, of a Job that fetches, or of a gateway."""

    key: Key
    uid: str
    resource_version: str
    component: str
    deployment: str | None
    ready: bool
    """Whether it may receive requests: its condition Ready is True and it is not being deleted."""
    running: bool
    """Whether a container of it runs; it may hold connections though it is not ready, or being deleted."""
    starting: bool
    """Whether it is on a node and will run, but does not, yet or again: its volumes are there already."""
    deleting: bool
    address: str | None
    """Its IP address, once it has one."""
    config: str | None
    """Its annotation holdfast.dev/config."""
    view: PodView | None
    """For a pod of an engine or of a Job that fetches."""


Value = DeploymentView | RevisionView | ApprovalView | Unreadable | LiveObject | PodRecord
