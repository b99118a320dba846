"""Writes that are seen at once: the answer to every write goes into the mirror before anything else is decided."""

from collections.abc import Mapping
from typing import Any

from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.errors import NotFound
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Cluster, Manifest
from holdfast.controller.keys import QueueKey
from holdfast.controller.mirror import Mirror
from holdfast.controller.queue import Priority, WorkQueue


class Writer:
    """The cluster, as the reconcilers write to it.

    Each method takes `by`, the key that is being reconciled: what else a write concerns is queued, urgently, and `by` itself is
    not, since its reconciler looks again anyway. They raise what `holdfast.cluster.port.Cluster` raises.
    """

    def __init__(self, cluster: Cluster, mirror: Mirror, queue: WorkQueue) -> None:
        self._cluster = cluster
        self._mirror = mirror
        self._queue = queue

    async def create(self, kind: Kind, manifest: Manifest, *, by: QueueKey) -> Manifest:
        """Create an object."""
        return self._take(kind, await self._cluster.create(kind, manifest), by)

    async def apply(self, kind: Kind, manifest: Manifest, *, uid: str, by: QueueKey) -> Manifest:
        """Apply an object onto the one with this uid."""
        body = {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}
        return self._take(kind, await self._cluster.apply(kind, body), by)

    async def replace(self, kind: Kind, manifest: Manifest, *, by: QueueKey) -> Manifest:
        """Replace an object at the uid and resourceVersion that the manifest carries."""
        return self._take(kind, await self._cluster.replace(kind, manifest), by)

    async def replace_status(
        self, kind: Kind, key: Key, *, uid: str, resource_version: str, status: Mapping[str, Any], by: QueueKey
    ) -> Manifest:
        """Replace the status of an object of ours."""
        answer = await self._cluster.replace_status(kind, key, uid=uid, resource_version=resource_version, status=status)
        return self._take(kind, answer, by)

    async def annotate(self, kind: Kind, key: Key, *, uid: str, annotations: Mapping[str, str], by: QueueKey) -> Manifest:
        """Set annotations of the object with this uid."""
        return self._take(kind, await self._cluster.annotate(kind, key, uid=uid, annotations=annotations), by)

    async def relabel(self, kind: Kind, key: Key, *, uid: str, labels: Mapping[str, str | None], by: QueueKey) -> Manifest:
        """Set labels of the object with this uid, or take off those that are None."""
        return self._take(kind, await self._cluster.relabel(kind, key, uid=uid, labels=labels), by)

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        """Delete the object with this uid."""
        await self._cluster.delete(kind, key, uid=uid)
        self._mirror.deleting(kind, key, uid)

    async def refresh(self, kind: Kind, key: Key, *, by: QueueKey) -> Manifest | None:
        """Read an object past the mirror, and return it or None if there is none.

        A child without our label is returned and not mirrored: no watch would tell of it any more.
        """
        try:
            found = await self._cluster.get(kind, key)
        except NotFound:
            self._queue_all(self._mirror.unknown(kind, key, exists=False).keys, by)
            return None
        if kind in kinds.OWN or names.LABEL_COMPONENT in (found["metadata"].get("labels") or {}):
            self._queue_all(self._mirror.observe(kind, found).keys, by)
        else:
            self._queue_all(self._mirror.unknown(kind, key, exists=True).keys, by)
        return found

    def _take(self, kind: Kind, answer: Manifest, by: QueueKey) -> Manifest:
        self._queue_all(self._mirror.observe(kind, answer).keys, by)
        self._queue.succeeded(by)  # it gets on, so a failure that follows is the first in a row
        return answer

    def _queue_all(self, keys: frozenset[QueueKey], by: QueueKey) -> None:
        for key in keys - {by}:
            self._queue.add(key, Priority.HIGH)
