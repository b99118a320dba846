"""Lists against forgetting: everything is listed at the start, and again now and then.

kopf tells nothing of objects that were deleted while a watch was interrupted, so a re-list of kopf's, seen by events without a
type, and the passing of ten minutes both make this list the kind once more and drop what is gone.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from holdfast.cluster import kinds
from holdfast.cluster.errors import Failure, NotFound, Rejected, Transient
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Cluster
from holdfast.controller.children import Children
from holdfast.controller.feed import Feed
from holdfast.controller.mirror import Mirror
from holdfast.controller.queue import Priority, WorkQueue

logger = logging.getLogger(__name__)

INTERVAL: Final = 600.0
"""Seconds between full lists, on average."""
_GATHER: Final = 1.0
"""Seconds to wait after the first event of a re-list: the others follow in a burst."""
_RETRY: Final = 5.0
_START_ATTEMPTS: Final = 5


class Resync:
    """Keeps the mirror complete.

    Args:
        namespaces: which to list; empty for all.
        clock: a monotonic clock, in seconds.
        rng: spreads the full lists of several installations.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        mirror: Mirror,
        feed: Feed,
        queue: WorkQueue,
        children: Children,
        namespaces: Sequence[str],
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._cluster = cluster
        self._mirror = mirror
        self._feed = feed
        self._queue = queue
        self._children = children
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._clock = clock
        self._rng = rng
        self._due = dict.fromkeys(kinds.WATCHED, clock() + self._interval())
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """List everything once, so that no decision is taken on half a picture.

        Raises:
            Rejected: a kind is not installed or may not be listed; the message says what to do.
            Transient: the API server did not answer several times.
        """
        for kind in kinds.WATCHED:
            for attempt in range(1, _START_ATTEMPTS + 1):
                try:
                    await self._list(kind)
                    break
                except NotFound as error:
                    raise Rejected(
                        f"the API server does not know {kind.resource}: install Holdfast's CRDs "
                        "(kubectl apply --server-side -f crds/) before the operator"
                    ) from error
                except Rejected as error:
                    raise Rejected(f"{error}; check the operator's RBAC and HOLDFAST_NAMESPACES") from error
                except Transient as error:
                    if attempt == _START_ATTEMPTS:
                        raise
                    logger.warning("cannot list yet", extra={"kind": kind.resource, "error": str(error)})
                    await asyncio.sleep(attempt * (0.5 + self._rng.random() / 2))
        for key in self._mirror.everything():
            self._queue.add(key, Priority.LOW)
        for kind in kinds.WATCHED:
            self.soon(kind)  # what was deleted between this list and kopf's own is known to neither

    def soon(self, kind: Kind) -> None:
        """List a kind again soon."""
        due = self._clock() + _GATHER
        if self._due[kind] > due:
            self._due[kind] = due
            self._changed.set()

    async def run(self) -> None:
        """List again whenever it is time, until cancelled."""
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout(max(0.0, min(self._due.values()) - self._clock())):
                    await self._changed.wait()
            except TimeoutError:
                await self.sweep()

    async def sweep(self) -> None:
        """List the kinds whose time has come."""
        for kind in [kind for kind, due in self._due.items() if due <= self._clock()]:
            self._due[kind] = self._clock() + self._interval()
            try:
                await self._list(kind)
            except Failure as failure:
                logger.warning("cannot list", extra={"kind": kind.resource, "error": str(failure)})
                self._due[kind] = self._clock() + _RETRY
                continue
            if kind is kinds.MODEL_DEPLOYMENT:
                self._children.sweep()
                for key in self._mirror.everything():
                    self._queue.add(key, Priority.LOW)

    async def _list(self, kind: Kind) -> None:
        for namespace in self._namespaces:
            listing = await self._cluster.list(kind, namespace=namespace, selector=kinds.selector(kind))
            self._feed.listed(kind, listing, namespace=namespace, at=self._clock())

    def _interval(self) -> float:
        return INTERVAL * (0.75 + self._rng.random() / 2)
