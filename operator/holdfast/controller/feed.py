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

_Stream = tuple[Kind, str | None]
"""A watch: a kind, in one namespace or in all."""


class Feed:
    """Takes what the API server tells.

    It also remembers how far the watches have come, which is how a watch that went deaf is noticed: see `deaf`.
    """

    def __init__(self, *, mirror: Mirror, queue: WorkQueue, observer: Observer) -> None:
        self._mirror = mirror
        self._queue = queue
        self._observer = observer
        self._watched: dict[_Stream, int] = defaultdict(int)
        self._expected: dict[_Stream, tuple[int, float]] = {}

    def event(self, kind: Kind, raw: Manifest, *, deleted: bool = False) -> None:
        """Take what a watch tells of one object."""
        metadata = raw.get("metadata") or {}
        for stream in ((kind, None), (kind, str(metadata.get("namespace") or ""))):
            self._watched[stream] = max(self._watched[stream], _version(metadata))
            expected = self._expected.get(stream)
            if expected is not None and self._watched[stream] >= expected[0]:
                del self._expected[stream]
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
            namespace: the namespace that was listed and is watched, None for all.
            at: the monotonic time; from now on the watch has to deliver the newest of these objects.
        """
        stream = (kind, namespace)
        newest = max((_version(item.get("metadata") or {}) for item in listing.items), default=0)
        if newest <= self._watched[stream]:
            self._expected.pop(stream, None)
        else:
            self._expected[stream] = (newest, self._expected.get(stream, (0, at))[1])
        for key in self._mirror.replace(kind, listing, namespace=namespace):
            self._queue.add(key, Priority.LOW)

    def deaf(self, now: float) -> dict[Kind, float]:
        """Return for how many seconds the watch of each kind has failed to deliver what a list has shown.

        An object that was deleted meanwhile is not delivered either: list again before drawing a conclusion.
        """
        return {kind: now - since for (kind, _), (_, since) in self._expected.items()}

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
