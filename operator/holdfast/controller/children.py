"""Makes children match: what should exist is created, compared as a whole, and repaired.

Children are created by POST and never adopted: an object of the same name that is not ours (by its controlling owner's uid, and
by our label) is left alone and reported. Somebody who may create objects in the namespace could otherwise put a Service with
`externalIPs`, or a ConfigMap of his own, where Holdfast is about to apply its fields.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.diff import first_difference, repaired
from holdfast.cluster.errors import AlreadyExists, Conflict, NotFound, Rejected
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Manifest
from holdfast.controller.keys import QueueKey
from holdfast.controller.mirror import Mirror
from holdfast.controller.seals import Seals
from holdfast.controller.writer import Writer

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 3
"""How often one child is looked at again at once after a lost race."""

Name = tuple[Kind, Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The ModelDeployment that owns children."""

    key: Key
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What came of making children match."""

    changed: bool = False
    """Whether anything was written."""
    conflicts: tuple[tuple[Name, str], ...] = ()
    """Objects that stand where a child belongs and are not ours."""
    refused: tuple[tuple[Name, str], ...] = ()
    """Children that the API server refuses, or that somebody else changes back at once."""
    waiting: tuple[tuple[Name, str], ...] = ()
    """Children whose name is still held by an object that is on its way out."""

    def __add__(self, other: "Matched") -> "Matched":
        return Matched(
            changed=self.changed or other.changed,
            conflicts=self.conflicts + other.conflicts,
            refused=self.refused + other.refused,
            waiting=self.waiting + other.waiting,
        )

    def news(self, before: "Matched") -> bool:
        """Whether there is something to look at again at once: a change, or trouble with another child than before.

        The same trouble in other words is none: some refusals name the time or the request, and trying again at once would bring
        the next.
        """
        return self.changed or self._troubled != before._troubled

    @property
    def _troubled(self) -> list[list[Name]]:
        return [[name for name, _ in group] for group in (self.conflicts, self.refused, self.waiting)]

    @property
    def trouble(self) -> bool:
        """Whether something is not as it should be, and no event will tell when that changes."""
        return bool(self.conflicts or self.refused or self.waiting)


class Children:
    """Creates, compares, repairs and deletes children."""

    def __init__(self, mirror: Mirror, writer: Writer, seals: Seals) -> None:
        self._mirror = mirror
        self._writer = writer
        self._seals = seals
        self._verified: dict[Name, tuple[str, str, str]] = {}
        self._contested: dict[Name, tuple[str, str]] = {}

    async def match(
        self,
        desired: Sequence[Manifest],
        *,
        by: QueueKey,
        owner: Owner | None,
        pressing: Callable[[], bool] = lambda: False,
    ) -> Matched:
        """Make the live objects match the desired ones.

        Workloads come after everything else, and only if nothing else is in the way: a pod must not run behind a Service that is
        somebody else's.

        Args:
            desired: whole manifests; their owner reference is added here.
            by: the key that is being reconciled.
            owner: who owns them; None for the objects of a gateway, which belong to their namespace.
            pressing: whether something else is urgent now. What comes back is then about the children until there.

        Raises:
            Transient: the API server could not be asked.
            Waiting: the namespace is being deleted.
        """
        result = Matched()
        hindered = False
        for manifest in sorted(desired, key=lambda each: kinds.of(each) in kinds.WORKLOADS):
            kind = kinds.of(manifest)
            if kind in kinds.WORKLOADS and hindered:
                continue
            if pressing():
                break
            result += await self._match_one(kind, _owned(manifest, owner), by, owner)
            if kind not in kinds.WORKLOADS:
                hindered = bool(result.conflicts or result.waiting)
        return result

    async def remove(self, kind: Kind, key: Key, *, uid: str) -> None:
        """Delete a child.

        Raises:
            Transient: the API server could not be asked, or the object is another one by now.
        """
        await self._writer.delete(kind, key, uid=uid)
        self._verified.pop((kind, key), None)
        self._contested.pop((kind, key), None)

    def sweep(self) -> None:
        """Forget who changed what back, so that it is tried again, and what is known of children that others deleted."""
        self._contested.clear()
        self._verified = {name: seen for name, seen in self._verified.items() if self._mirror.live(*name) is not None}

    async def _match_one(self, kind: Kind, manifest: Manifest, by: QueueKey, owner: Owner | None) -> Matched:
        metadata = manifest["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._settle(kind, key, manifest, by, owner)
            except Rejected as rejection:
                return Matched(refused=(((kind, key), str(rejection)),))
            except (Conflict, NotFound):
                if attempt == _ATTEMPTS:
                    raise
                await self._writer.refresh(kind, key, by=by)
        raise AssertionError("unreachable")

    async def _settle(self, kind: Kind, key: Key, manifest: Manifest, by: QueueKey, owner: Owner | None) -> Matched:
        name = (kind, key)
        known = self._mirror.live(kind, key)
        if known is None:
            if kind in kinds.WORKLOADS and owner is not None:
                await self._seals.ensure(key.namespace)
            try:
                await self._writer.create(kind, manifest, by=by)
            except AlreadyExists:
                found = await self._writer.refresh(kind, key, by=by)
                if found is None:
                    raise Conflict(f"{kind.kind} {key.name} came and went") from None
                standing = _standing(kind, found, owner)
                if standing is not None:
                    return standing
                known = self._mirror.live(kind, key)
                if known is None:
                    raise Conflict(f"{kind.kind} {key.name} came and went") from None
            else:
                return Matched(changed=True)
        digest = _digest(manifest)
        if self._verified.get(name) == (known.uid, known.resource_version, digest) and not known.deleting:
            return Matched()
        live = known.manifest()
        standing = _standing(kind, live, owner, deleting=known.deleting)
        if standing is not None:
            return standing
        if known.fetch is not None and known.fetch.ended_at is not None:
            return Matched()  # a Job that has ended runs nothing any more, whatever it would be today
        return await self._repair(name, manifest, live, digest, by)

    async def _repair(self, name: Name, manifest: Manifest, live: Manifest, digest: str, by: QueueKey) -> Matched:
        kind, key = name
        difference = first_difference(kind, manifest, live)
        if difference is None:
            self._remember(name, live, digest)
            return Matched()
        told = f"{kind.kind} {key.name} is changed back by somebody else: {difference}"
        if self._contested.get(name) == (digest, difference):
            return Matched(refused=((name, told),))
        logger.info("child differs", extra={"child": f"{kind.kind} {key.namespace}/{key.name}", "difference": difference})
        if kind is kinds.JOB or (kind is kinds.CONFIG_MAP and live.get("immutable")):
            await self.remove(kind, key, uid=live["metadata"]["uid"])
            return Matched(changed=True, waiting=((name, f"{kind.kind} {key.name} is replaced"),))
        after = live
        if kind is not kinds.DEPLOYMENT:  # whose pods would be those of a mix, until the replacement
            after = await self._writer.apply(kind, manifest, uid=live["metadata"]["uid"], by=by)
        difference = first_difference(kind, manifest, after)
        if difference is not None:
            # Fields that another manager owns as well survive an apply; a replacement takes them away.
            after = await self._writer.replace(kind, repaired(kind, manifest, after), by=by)
            difference = first_difference(kind, manifest, after)
        if difference is not None:
            self._contested[name] = (digest, difference)
            told = f"{kind.kind} {key.name} is changed back by somebody else: {difference}"
            return Matched(changed=True, refused=((name, told),))
        self._contested.pop(name, None)
        self._remember(name, after, digest)
        return Matched(changed=True)

    def _remember(self, name: Name, live: Manifest, digest: str) -> None:
        """A resourceVersion stands for the whole object: what was compared once at it need not be compared again."""
        self._verified[name] = (live["metadata"]["uid"], live["metadata"]["resourceVersion"], digest)


def _owned(manifest: Manifest, owner: Owner | None) -> Manifest:
    if owner is None or (_may_outlive(kinds.of(manifest)) and "ownerReferences" not in manifest["metadata"]):
        return manifest
    reference = {
        "apiVersion": names.API_VERSION,
        "kind": kinds.MODEL_DEPLOYMENT.kind,
        "name": owner.key.name,
        "uid": owner.uid,
        "controller": True,
    }
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def _may_outlive(kind: Kind) -> bool:
    """Whether a child of this kind can be kept when its ModelDeployment goes: then it has no owner, and the next one takes it over."""
    return kind is kinds.PERSISTENT_VOLUME_CLAIM


def _standing(kind: Kind, live: Manifest, owner: Owner | None, *, deleting: bool = False) -> Matched | None:
    """Return why a live object cannot become the child, None if it is ours."""
    metadata: dict[str, Any] = live["metadata"]
    key = Key(metadata["namespace"], metadata["name"])
    controller = next((each for each in metadata.get("ownerReferences") or [] if each.get("controller")), None)
    labels = metadata.get("labels") or {}
    labelled = names.LABEL_COMPONENT in labels
    text = f"{kind.kind} {key.name}"
    if labelled and (deleting or "deletionTimestamp" in metadata):
        return Matched(waiting=(((kind, key), f"{text} is being deleted"),))
    if owner is None:
        ours, former = controller is None, False
    else:
        kept = _may_outlive(kind) and controller is None and labels.get(names.LABEL_DEPLOYMENT) == owner.key.name
        ours = kept or (controller is not None and controller.get("uid") == owner.uid)
        former = (
            controller is not None
            and controller.get("kind") == kinds.MODEL_DEPLOYMENT.kind
            and controller.get("name") == owner.key.name
        )
    if labelled and ours:
        return None
    if labelled and former:
        return Matched(waiting=(((kind, key), f"{text} belongs to a former {kinds.MODEL_DEPLOYMENT.kind} of this name"),))
    return Matched(conflicts=(((kind, key), f"{text} exists and is not Holdfast's; delete or rename it"),))


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
