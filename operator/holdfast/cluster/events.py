"""Events: what happened to a ModelDeployment, for `kubectl describe` and for people who look later.

An Event is an account, not a record: it is written after the status that it tells of, once, and a failure to write it holds
nothing up. Decisions are recorded in ModelRevisions, which do not expire. API: events.k8s.io/v1 (KEP-383).
"""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.api.names import GROUP, Key
from holdfast.cluster.errors import AlreadyExists, Failure
from holdfast.cluster.kinds import EVENT, Kind
from holdfast.cluster.port import Cluster

logger = logging.getLogger(__name__)

_CONTROLLER: Final = f"{GROUP}/operator"
_NOTE_LENGTH: Final = 1024
"""Longest note that the API server accepts, in bytes."""


class Told(Protocol):
    """What an Event says: `holdfast.domain.plan.Note` is one."""

    @property
    def type(self) -> str:
        """Return ``Normal`` or ``Warning``."""
        ...

    @property
    def reason(self) -> str:
        """Return the machine-readable reason."""
        ...

    @property
    def message(self) -> str:
        """Return the text for people."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Regarding:
    """The object that an Event is about, at the moment that it tells of."""

    kind: Kind
    key: Key
    uid: str
    resource_version: str


class Recorder:
    """Writes Events.

    Args:
        cluster: where to.
        instance: the name of this process, such as its pod's.
    """

    def __init__(self, cluster: Cluster, *, instance: str) -> None:
        self._cluster = cluster
        self._instance = instance[:128]

    async def record(self, regarding: Regarding, notes: Iterable[Told]) -> None:
        """Write one Event per note. The name is derived from what it tells, so that telling it twice makes one Event."""
        for note in notes:
            try:
                await self._cluster.create(EVENT, self._event(regarding, note))
            except AlreadyExists:
                continue
            except Failure as failure:
                logger.warning("event not recorded", extra={"reason": str(note.reason), "error": str(failure)})

    def _event(self, regarding: Regarding, note: Told) -> dict[str, object]:
        told = f"{regarding.uid}/{regarding.resource_version}/{note.reason}/{note.message}"
        digest = hashlib.sha256(told.encode()).hexdigest()[:16]
        when = self._cluster.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"namespace": regarding.key.namespace, "name": f"{regarding.key.name}.{digest}"},
            "eventTime": when,
            "reportingController": _CONTROLLER,
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": note.type,
            "reason": str(note.reason),
            "note": _cut(note.message),
            "regarding": {
                "apiVersion": regarding.kind.api_version,
                "kind": regarding.kind.kind,
                "namespace": regarding.key.namespace,
                "name": regarding.key.name,
                "uid": regarding.uid,
                "resourceVersion": regarding.resource_version,
            },
        }


def _cut(text: str) -> str:
    raw = text.encode()
    if len(raw) <= _NOTE_LENGTH:
        return text
    return raw[: _NOTE_LENGTH - 3].decode(errors="ignore") + "…"
