"""Whether the operator still does its work: what ``/healthz`` says, and so when the kubelet starts it anew."""

from collections.abc import Callable
from typing import Final

from holdfast.cluster.kinds import Kind
from holdfast.controller.assembly import Controller

QUEUE_STUCK: Final = 300.0
"""Seconds that a key may wait for a worker, or be worked on. Every request that a reconcile makes ends after 30 s."""
WATCH_CHECKED: Final = 60.0
"""Seconds after which a watch that has not delivered what a list has shown is looked at again by another list."""
WATCH_DEAF: Final = 180.0
"""Seconds after which such a watch is given up. kopf reconnects a silent one after 70."""


class Health:
    """Judges the queue and the watches.

    Args:
        controller: the running controller.
        clock: the clock of its queue.
    """

    def __init__(self, controller: Controller, *, clock: Callable[[], float]) -> None:
        self._controller = controller
        self._clock = clock

    def problems(self) -> list[str]:
        """Return what is stuck; nothing if all is well."""
        queue = self._controller.queue
        found = []
        if queue.oldest_age() > QUEUE_STUCK:
            found.append(f"a key has waited {queue.oldest_age():.0f} s for a worker")
        if queue.longest_busy() > QUEUE_STUCK:
            found.append(f"a reconcile has run for {queue.longest_busy():.0f} s")
        for kind, seconds in self._controller.feed.deaf(self._clock()).items():
            if seconds > WATCH_DEAF:
                found.append(_deaf(kind, seconds))
            elif seconds > WATCH_CHECKED:
                self._controller.resync.soon(kind)
        return found


def _deaf(kind: Kind, seconds: float) -> str:
    return f"the watch of {kind.resource} has not delivered for {seconds:.0f} s what a list shows"
