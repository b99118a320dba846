"""The mirror: what the cluster looks like, from watches, lists and our own writes.

Three rules keep it right whatever the order in which news arrive. Per object the higher resourceVersion wins (comparing them as
integers is part of the API since Kubernetes 1.35, KEP-5504). A deleted uid never comes back, so that a late answer to a write of
ours cannot raise the dead. And what a complete list lacks and is not newer than the list is gone: kopf does not tell of objects
that were deleted while its watch was interrupted.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Listing, Manifest
from holdfast.controller.keys import GatewayKey, QueueKey
from holdfast.controller.projections import deployment_names, project
from holdfast.controller.records import LiveObject, PodRecord, Unreadable, Value
from holdfast.domain.snapshot import ApprovalView, DeploymentView, PodView, RevisionView

_TOMBSTONES: Final = 20_000
"""Deleted uids to remember: many more than are deleted while one request is under way."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an observation changed."""

    keys: frozenset[QueueKey]
    """What to reconcile; empty if nothing was news."""
    before: Value | None = None
    after: Value | None = None


_NOTHING: Final = Change(frozenset())


@dataclass(frozen=True, slots=True)
class _Entry:
    uid: str
    version: int
    deployments: tuple[str, ...]
    component: str
    value: Value


class Mirror:
    """The last known state of everything that Holdfast watches."""

    def __init__(self) -> None:
        self._entries: dict[Kind, dict[Key, _Entry]] = {kind: {} for kind in kinds.WATCHED}
        self._by_deployment: dict[Key, dict[Kind, set[Key]]] = defaultdict(lambda: defaultdict(set))
        self._by_namespace: dict[str, dict[Kind, set[Key]]] = defaultdict(lambda: defaultdict(set))
        self._gateway_pods: dict[str, set[Key]] = defaultdict(set)
        self._tombstones: OrderedDict[str, None] = OrderedDict()

    # what is told

    def observe(self, kind: Kind, raw: Manifest, *, deleted: bool = False) -> Change:
        """Take an object as a watch, a list or the answer to a write shows it."""
        metadata = raw.get("metadata") or {}
        key = Key(str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        uid, version = str(metadata.get("uid") or ""), _version(metadata.get("resourceVersion"))
        if deleted:
            return self.gone(kind, key, uid)
        known = self._entries[kind].get(key)
        if uid in self._tombstones or (known is not None and version <= known.version):
            return _NOTHING
        component = str((metadata.get("labels") or {}).get(names.LABEL_COMPONENT) or "")
        entry = _Entry(uid, version, deployment_names(kind, raw), component, project(kind, raw))
        if known is not None:
            self._unlink(kind, key, known)
            if known.uid != uid:
                self._bury(known.uid)
        self._link(kind, key, entry)
        concerned = _concerned(kind, key, entry) | (_concerned(kind, key, known) if known is not None else frozenset())
        return Change(concerned, known.value if known is not None else None, entry.value)

    def gone(self, kind: Kind, key: Key, uid: str) -> Change:
        """Take that the object with this uid does not exist any more."""
        self._bury(uid)
        known = self._entries[kind].get(key)
        if known is None or known.uid != uid:
            return _NOTHING
        self._unlink(kind, key, known)
        return Change(_concerned(kind, key, known), known.value, None)

    def unknown(self, kind: Kind, key: Key, *, exists: bool) -> Change:
        """Take what a read has just shown: no object of this name (`exists` is False), or one that is not ours."""
        known = self._entries[kind].get(key)
        if known is None:
            return _NOTHING
        if not exists:
            return self.gone(kind, key, known.uid)
        self._unlink(kind, key, known)
        return Change(_concerned(kind, key, known), known.value, None)

    def deleting(self, kind: Kind, key: Key, uid: str) -> None:
        """Take that the deletion of a child was accepted, before a watch shows it."""
        known = self._entries[kind].get(key)
        if known is not None and known.uid == uid and isinstance(known.value, LiveObject):
            self._entries[kind][key] = replace(known, value=replace(known.value, deleting=True))

    def replace(self, kind: Kind, listing: Listing, *, namespace: str | None = None) -> frozenset[QueueKey]:
        """Take a complete list of a kind, in one namespace or in all, and return what to reconcile.

        Whatever is not listed and is not newer than the list is gone.
        """
        concerned: set[QueueKey] = set()
        listed: set[tuple[Key, str]] = set()
        for raw in listing.items:
            metadata = raw.get("metadata") or {}
            key = Key(str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
            listed.add((key, str(metadata.get("uid") or "")))
            concerned |= self.observe(kind, raw).keys
        moment = _version(listing.resource_version)
        for key, entry in list(self._entries[kind].items()):
            outside = namespace is not None and key.namespace != namespace
            if not outside and (key, entry.uid) not in listed and entry.version <= moment:
                concerned |= self.gone(kind, key, entry.uid).keys
        return frozenset(concerned)

    # what is asked

    def deployment(self, key: Key) -> DeploymentView | Unreadable | None:
        """Return the ModelDeployment."""
        entry = self._entries[kinds.MODEL_DEPLOYMENT].get(key)
        value = entry.value if entry is not None else None
        return value if isinstance(value, DeploymentView | Unreadable) else None

    def deployments(self, namespace: str | None = None) -> list[DeploymentView | Unreadable]:
        """Return the ModelDeployments of a namespace, or all, in the order of their names."""
        entries = self._entries[kinds.MODEL_DEPLOYMENT]
        keys = entries.keys() if namespace is None else self._in_namespace(namespace, kinds.MODEL_DEPLOYMENT)
        values = (entries[key].value for key in sorted(keys))
        return [value for value in values if isinstance(value, DeploymentView | Unreadable)]

    def revisions(self, key: Key) -> list[RevisionView | Unreadable]:
        """Return the ModelRevisions of a ModelDeployment, in no particular order."""
        values = self._of_deployment(kinds.MODEL_REVISION, key)
        return [value for value in values if isinstance(value, RevisionView | Unreadable)]

    def approvals(self, key: Key) -> list[ApprovalView | Unreadable]:
        """Return the ModelApprovals that target a ModelDeployment, in no particular order."""
        values = self._of_deployment(kinds.MODEL_APPROVAL, key)
        return [value for value in values if isinstance(value, ApprovalView | Unreadable)]

    def pods(self, key: Key) -> list[PodView]:
        """Return the pods of the engines of a ModelDeployment."""
        return self._pods(key, names.COMPONENT_ENGINE)

    def fetchers(self, key: Key) -> list[PodView]:
        """Return the pods of the Jobs that fetch for a ModelDeployment."""
        return self._pods(key, names.COMPONENT_WEIGHTS)

    def children(self, key: Key) -> list[LiveObject]:
        """Return the children of a ModelDeployment that carry our label, whoever owns them."""
        found = (value for kind in kinds.CHILDREN for value in self._of_deployment(kind, key))
        return [value for value in found if isinstance(value, LiveObject)]

    def live(self, kind: Kind, key: Key) -> LiveObject | None:
        """Return one child."""
        entry = self._entries[kind].get(key)
        value = entry.value if entry is not None else None
        return value if isinstance(value, LiveObject) else None

    def gateway_pods(self, namespace: str) -> list[PodRecord]:
        """Return the pods of the gateway of a namespace."""
        values = (self._entries[kinds.POD][key].value for key in sorted(self._gateway_pods.get(namespace, ())))
        return [value for value in values if isinstance(value, PodRecord)]

    def gateway_children(self, namespace: str) -> list[LiveObject]:
        """Return the objects of the gateway of a namespace."""
        found = [self._entries[kind][key].value for kind in kinds.CHILDREN for key in sorted(self._in_namespace(namespace, kind))]
        return [v for v in found if isinstance(v, LiveObject) and v.component == names.COMPONENT_GATEWAY]

    def everything(self) -> Iterator[QueueKey]:
        """Return everything that is reconciled: all ModelDeployments, and the gateways of namespaces that have or had any."""
        yield from list(self._entries[kinds.MODEL_DEPLOYMENT])
        for namespace in list(self._by_namespace):
            if self._in_namespace(namespace, kinds.MODEL_DEPLOYMENT) or self.gateway_children(namespace):
                yield GatewayKey(namespace)

    def count(self, kind: Kind) -> int:
        """Return how many objects of a kind are known."""
        return len(self._entries[kind])

    # bookkeeping

    def _pods(self, key: Key, component: str) -> list[PodView]:
        records = (value for value in self._of_deployment(kinds.POD, key) if isinstance(value, PodRecord))
        return [record.view for record in records if record.component == component and record.view is not None]

    def _in_namespace(self, namespace: str, kind: Kind) -> Collection[Key]:
        linked = self._by_namespace.get(namespace)
        return linked.get(kind, ()) if linked else ()

    def _of_deployment(self, kind: Kind, key: Key) -> list[Value]:
        linked = self._by_deployment.get(key)
        return [self._entries[kind][name].value for name in sorted(linked.get(kind, ()))] if linked else []

    def _link(self, kind: Kind, key: Key, entry: _Entry) -> None:
        self._entries[kind][key] = entry
        self._by_namespace[key.namespace][kind].add(key)
        if kind is kinds.POD and entry.component == names.COMPONENT_GATEWAY:
            self._gateway_pods[key.namespace].add(key)
        for name in entry.deployments:
            self._by_deployment[Key(key.namespace, name)][kind].add(key)

    def _unlink(self, kind: Kind, key: Key, entry: _Entry) -> None:
        del self._entries[kind][key]
        linked = self._by_namespace[key.namespace]
        linked[kind].discard(key)
        if not any(linked.values()):
            del self._by_namespace[key.namespace]
        if kind is kinds.POD and (pods := self._gateway_pods.get(key.namespace)) is not None:
            pods.discard(key)
            if not pods:
                del self._gateway_pods[key.namespace]
        for name in entry.deployments:
            owner = Key(key.namespace, name)
            linked = self._by_deployment[owner]
            linked[kind].discard(key)
            if not any(linked.values()):
                del self._by_deployment[owner]

    def _bury(self, uid: str) -> None:
        if not uid:
            return
        self._tombstones[uid] = None
        self._tombstones.move_to_end(uid)
        while len(self._tombstones) > _TOMBSTONES:
            self._tombstones.popitem(last=False)


def _concerned(kind: Kind, key: Key, entry: _Entry) -> frozenset[QueueKey]:
    """Return what to reconcile when the object changed."""
    found: set[QueueKey] = {Key(key.namespace, name) for name in entry.deployments}
    if kind is kinds.MODEL_DEPLOYMENT or entry.component == names.COMPONENT_GATEWAY:
        found.add(GatewayKey(key.namespace))
    return frozenset(found)


def _version(text: object) -> int:
    """Read a resourceVersion. What is none is older than all others."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else 0
