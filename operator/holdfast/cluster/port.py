"""What the operator needs of a Kubernetes cluster. `kube.KubeCluster` is the real one; tests bring one of their own.

Manifests are plain dicts in the wire's form. Every method raises only the failures of `holdfast.cluster.errors`. Every write
carries a precondition, so that a decision that rests on an outdated view fails instead of overwriting what it did not see.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from holdfast.api.names import Key
from holdfast.cluster.kinds import Kind

Manifest = dict[str, Any]
"""An object in the wire's form."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind at one moment."""

    resource_version: str
    """The moment: what is not listed and is older than this does not exist."""
    items: tuple[Manifest, ...]


class Cluster(Protocol):
    """The API server, as the operator uses it."""

    def now(self) -> datetime:
        """Return the API server's time, in UTC; the local clock is never asked for more than the time since its last answer."""
        ...

    async def list(self, kind: Kind, *, namespace: str | None = None, selector: str | None = None) -> Listing:
        """Read all objects of a kind, in pages of one consistent moment."""
        ...

    async def get(self, kind: Kind, key: Key) -> Manifest:
        """Read one object, from etcd and not from a cache.

        Raises:
            NotFound: it does not exist.
        """
        ...

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object (POST).

        Raises:
            AlreadyExists: the name is taken.
        """
        ...

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Server-side apply as the field manager ``holdfast``, taking over fields that others changed.

        The manifest must carry ``metadata.uid``: without it the API server would create a missing object (KEP-555).

        Raises:
            Conflict: the object of this name has another uid, or none has it.
        """
        ...

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Replace the whole object (PUT). The manifest must carry ``metadata.uid`` and ``metadata.resourceVersion``.

        Raises:
            Conflict: the object changed since.
        """
        ...

    async def replace_status(
        self, kind: Kind, key: Key, *, uid: str, resource_version: str, status: Mapping[str, Any]
    ) -> Manifest:
        """Replace the status of an object of our own API (PUT on the status subresource).

        Raises:
            Conflict: the object changed since.
        """
        ...

    async def annotate(self, kind: Kind, key: Key, *, uid: str, annotations: Mapping[str, str]) -> Manifest:
        """Set annotations of an object, leaving all else (merge patch).

        Raises:
            Conflict: the object of this name has another uid.
        """
        ...

    async def relabel(self, kind: Kind, key: Key, *, uid: str, labels: Mapping[str, str | None]) -> Manifest:
        """Set labels of an object, or take off those that are None, leaving all else (merge patch).

        Raises:
            Conflict: the object of this name has another uid.
        """
        ...

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        """Delete an object; its dependents follow. An object that is gone already is no error.

        Raises:
            Conflict: the object of this name has another uid.
        """
        ...
