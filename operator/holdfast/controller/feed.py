"""From news to work: every watch event and every list goes through here into the mirror and on to the queue."""

import logging
from collections import defaultdict

from holdfast.cluster import kinds
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Listing, Manifest
from holdfast.controller.mirror import Change, Mirror
from holdfast.controller.observer import Observer
from holdfast.controller.queue import Priority, WorkQueue
from holdfast.controller.records import PodRecord
from holdfast.domain.snapshot import WeightsState

logger = logging.getLogger(__name__)


class Feed:
    """Takes what the API server tells.

    It also remembers how far the watches have come, which is how a watch that went deaf is noticed: see `deaf`.
    """

    def __init__(self, *, mirror: Mirror, queue: WorkQueue, observer: Observer) -> None:
        self._mirror = mirror
        self._queue = queue
        self._observer = observer
        self._watched: dict[Kind, int] = defaultdict(int)
        self._expected: dict[Kind, tuple[int, float]] = {}

    def event(self, kind: Kind, raw: Manifest, *, deleted: bool = False) -> None:
        """Take what a watch tells of one object."""
        self._watched[kind] = max(self._watched[kind], _version(raw.get("metadata") or {}))
        expected = self._expected.get(kind)
        if expected is not None and self._watched[kind] >= expected[0]:
            del self._expected[kind]
        change = self._mirror.observe(kind, raw, deleted=deleted)
        self._count(change)
        priority = Priority.HIGH if kind is kinds.MODEL_APPROVAL else Priority.NORMAL
        for key in change.keys:
            self._queue.add(key, priority)

    def listed(self, kind: Kind, listing: Listing, *, namespace: str | None, at: float) -> None:
        """Take a complete list.

        Args:
            kind: the kind that was listed.
            listing: the list.
            namespace: the namespace that was listed, None for all.
            at: the monotonic time; from now on the watch has to deliver the newest of these objects.
        """
        newest = max((_version(item.get("metadata") or {}) for item in listing.items), default=0)
        if newest > self._watched[kind] and kind not in self._expected:
            self._expected[kind] = (newest, at)
        keys = self._mirror.replace(kind, listing, namespace=namespace)
        for key in keys:
            self._queue.add(key, Priority.LOW)

    def deaf(self, now: float) -> dict[Kind, float]:
        """Return for how many seconds each kind's watch has failed to deliver what a list has shown."""
        return {kind: now - since for kind, (_, since) in self._expected.items()}

    def _count(self, change: Change) -> None:
        before, after = change.before, change.after
        if not isinstance(after, PodRecord) or after.view is None or after.view.weights is not WeightsState.FAILED:
            return
        same = isinstance(before, PodRecord) and before.view is not None and before.view.weights is WeightsState.FAILED
        if not same and after.view.weights_reason is not None:
            self._observer.weights_failed(after.view.weights_reason)
            told = {"pod": after.key, "reason": after.view.weights_reason, "error": after.view.weights_message}
            logger.warning("weights failed", extra=told)


def _version(metadata: Manifest) -> int:
    text = metadata.get("resourceVersion")
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else 0
