"""A Kubernetes cluster in memory: the `Cluster` port with the semantics that the operator rests on, and faults on demand.

It is deterministic and synchronous inside: no method waits, so a test decides alone what happens when. Four parties use it.

The operator uses the methods of `holdfast.cluster.port.Cluster`.

Users and the rest of the world use `put` (create or replace as somebody else), `edit`, `set_status` and `remove`; these never fail.

The watches: every change appends to a stream per kind. `deliver(kind)` takes the next event, so that a test can interleave kinds
as it likes, hold one back, or `lose(kind)` what is pending as an interrupted watch does; `relist(kind)` is what kopf does then.
As on the real server an object that loses the label of the kind's selector is DELETED for the watch.

Faults: `inject(when, error, verb=, kind=, skip=)` lets a coming call fail before or after its effect, with any exception;
`Crash` is a kill of the operator: a BaseException, so that no handler of the operator survives it.

What it has of the real one: integer resourceVersions that grow over all kinds, a uid per incarnation, generation on a change of the
spec, writes without a change that change no resourceVersion, status as a subresource, preconditions (409), finalizers, server-side apply that takes
over fields, removes what the manager applied before and no longer does, and keeps what others added. What it has not: schemas
(but those of a status), defaults, admission, controllers; garbage collection is a step of its own (`collect_garbage`).
"""

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.errors import AlreadyExists, Conflict, NotFound
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Listing, Manifest
from model.copied import copied
from model.faults import Call, Crash, Fault
from model.schema import check_status
from model.server_side_apply import merge, subtract

__all__ = ["START", "Call", "Crash", "FakeCluster", "WatchEvent"]

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SPECLESS: Final = frozenset({"metadata", "status", "apiVersion", "kind"})


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """What a watch would tell; `type` is None for an object of a re-list, as in kopf."""

    kind: Kind
    type: Literal["ADDED", "MODIFIED", "DELETED"] | None
    object: Manifest


class FakeCluster:
    """See the module's documentation."""

    def __init__(self) -> None:
        self.time = START
        self.calls: list[Call] = []
        """Every call of the operator, those that failed included."""
        self.before_call: Callable[[Call], None] | None = None
        """Called before every call of the operator takes effect, for instance to let somebody else act in between."""
        self._objects: dict[Kind, dict[Key, Manifest]] = {}
        self._applied: dict[tuple[Kind, Key], Manifest] = {}
        self._streams: dict[Kind, deque[WatchEvent]] = {kind: deque() for kind in kinds.WATCHED}
        self._faults: list[Fault] = []
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)
        self._version = 0

    # the port

    def now(self) -> datetime:
        return self.time

    async def list(self, kind: Kind, *, namespace: str | None = None, selector: str | None = None) -> Listing:
        self._begin(call := Call("list", kind, None))
        items = tuple(
            copied(found)
            for key, found in sorted(self._of(kind).items())
            if namespace in (None, key.namespace) and _selected(found, selector)
        )
        self._end(call)
        return Listing(resource_version=str(self._version), items=items)

    async def get(self, kind: Kind, key: Key) -> Manifest:
        self._begin(call := Call("get", kind, key))
        found = copied(self._found(kind, key))
        self._end(call)
        return found

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        key = _key(manifest)
        self._begin(call := Call("create", kind, key))
        if key in self._of(kind):
            self._end(call)  # a refusal can be lost on its way like any answer
            raise AlreadyExists(f"{kind.resource} {key.name} already exists")
        created = self._add(kind, manifest)
        self._end(call)
        return created

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        key, uid = _key(manifest), manifest["metadata"].get("uid")
        if not uid:
            raise ValueError("an apply without uid")
        self._begin(call := Call("patch", kind, key))
        live = self._of(kind).get(key)
        if live is None or live["metadata"]["uid"] != uid:
            raise Conflict(f"{kind.resource} {key.name}: uid mismatch")
        body = _without_server_fields(manifest)
        merged = merge(subtract(live, self._applied.get((kind, key), {}), body), body)
        merged["status"] = live.get("status")
        self._applied[kind, key] = body
        return self._written(call, merged)

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        key, metadata = _key(manifest), manifest["metadata"]
        self._begin(call := Call("update", kind, key))
        live = self._found(kind, key)
        self._check(live, metadata["uid"], metadata["resourceVersion"])
        return self._written(call, {**copied(manifest), "status": live.get("status")})

    async def replace_status(
        self, kind: Kind, key: Key, *, uid: str, resource_version: str, status: Mapping[str, Any]
    ) -> Manifest:
        self._begin(call := Call("update", kind, key, "status"))
        live = self._found(kind, key)
        self._check(live, uid, resource_version)
        check_status(kind, dict(status))
        return self._written(call, {**live, "status": copied(dict(status))})

    async def annotate(self, kind: Kind, key: Key, *, uid: str, annotations: Mapping[str, str]) -> Manifest:
        return self._mark(kind, key, uid, "annotations", annotations)

    async def relabel(self, kind: Kind, key: Key, *, uid: str, labels: Mapping[str, str | None]) -> Manifest:
        return self._mark(kind, key, uid, "labels", labels)

    def _written(self, call: Call, manifest: Manifest) -> Manifest:
        written = self._store(call.kind, _key(manifest), manifest)
        self._end(call)
        return written

    def _mark(self, kind: Kind, key: Key, uid: str, field: str, marks: Mapping[str, str | None]) -> Manifest:
        self._begin(call := Call("patch", kind, key))
        live = copied(self._found(kind, key))
        self._check(live, uid, None)
        merged = {**live["metadata"].get(field, {}), **marks}.items()
        live["metadata"][field] = {name: value for name, value in merged if value is not None}
        return self._written(call, live)

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        self._begin(call := Call("delete", kind, key))
        live = self._of(kind).get(key)
        if live is not None:
            self._check(live, uid, None)
            self.remove(kind, key)
        self._end(call)

    # users and the world

    def put(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object, or replace its spec, data and marks, as somebody else than the operator."""
        key = _key(manifest)
        live = self._of(kind).get(key)
        if live is None:
            return self._add(kind, manifest)
        merged = {**copied(manifest), "status": live.get("status")}
        merged["metadata"] = {**live["metadata"], **merged["metadata"]}
        return self._store(kind, key, merged)

    def edit(self, kind: Kind, key: Key, change: Callable[[Manifest], None]) -> Manifest:
        """Change an object in place, as somebody else than the operator."""
        live = copied(self._found(kind, key))
        change(live)
        return self._store(kind, key, live)

    def set_status(self, kind: Kind, key: Key, status: Manifest) -> Manifest:
        """Write a status, as the controller of that kind does."""
        return self._store(kind, key, {**self._found(kind, key), "status": copied(status)})

    def remove(self, kind: Kind, key: Key) -> None:
        """Delete an object: at once, or by a deletionTimestamp if it has finalizers. Its dependents stay until `collect_garbage`."""
        live = copied(self._found(kind, key))
        if live["metadata"].get("finalizers"):
            live["metadata"].setdefault("deletionTimestamp", _stamp(self.time))
            self._store(kind, key, live)
            return
        del self._of(kind)[key]
        self._applied.pop((kind, key), None)
        live["metadata"]["resourceVersion"] = self._next_version()
        if self._seen(kind, live):
            self._tell(kind, "DELETED", live)

    def collect_garbage(self) -> int:
        """Delete every object whose controlling owner no longer exists, as the garbage collector would; return how many."""
        alive = {found["metadata"]["uid"] for objects in self._objects.values() for found in objects.values()}
        doomed = [
            (kind, key)
            for kind, objects in self._objects.items()
            for key, found in objects.items()
            if any(owner["uid"] not in alive for owner in found["metadata"].get("ownerReferences", ()))
        ]
        for kind, key in doomed:
            self.remove(kind, key)
        return len(doomed)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)

    # what a test sees

    def read(self, kind: Kind, key: Key) -> Manifest | None:
        """Return an object as it is, None if there is none."""
        found = self._of(kind).get(key)
        return copied(found) if found is not None else None

    @property
    def version(self) -> int:
        """The resourceVersion of the last change."""
        return self._version

    def view(self, kind: Kind) -> Mapping[Key, Manifest]:
        """Return all objects of a kind for looking only: they are no copies, and no change ever changes them in place."""
        return self._of(kind)

    def every(self, kind: Kind) -> dict[Key, Manifest]:
        """Return all objects of a kind."""
        return copied(self._of(kind))

    def writes(self) -> tuple[Call, ...]:
        """Return the calls of the operator that were writes."""
        return tuple(call for call in self.calls if call.is_write)

    # watches

    def pending(self, kind: Kind) -> int:
        """Return how many events of a kind were not delivered yet."""
        return len(self._streams[kind])

    def deliver(self, kind: Kind) -> WatchEvent | None:
        """Take the next event of a kind, None if there is none."""
        stream = self._streams[kind]
        return stream.popleft() if stream else None

    def lose(self, kind: Kind) -> int:
        """Forget the events of a kind that are pending, as an interrupted watch does; return how many were lost."""
        lost = len(self._streams[kind])
        self._streams[kind].clear()
        return lost

    def relist(self, kind: Kind) -> tuple[WatchEvent, ...]:
        """Return what kopf tells when it lists a kind anew: what exists, and not a word of what was deleted meanwhile."""
        self._streams[kind].clear()
        found = (copied(each) for _, each in sorted(self._of(kind).items()) if self._seen(kind, each))
        return tuple(WatchEvent(kind, None, each) for each in found)

    # faults

    def inject(
        self,
        when: Literal["before", "after"],
        error: BaseException,
        *,
        verb: str | None = None,
        kind: Kind | None = None,
        skip: int = 0,
    ) -> None:
        """Let one coming call fail.

        Args:
            when: before its effect, or after it (the answer is lost).
            error: what is raised: a failure of `holdfast.cluster.errors`, or `Crash`.
            verb: only calls with this verb; absent means any write.
            kind: only calls for this kind; absent means any.
            skip: how many such calls to leave alone first.
        """
        self._faults.append(Fault(when, error, verb, kind, skip))

    @property
    def healthy(self) -> bool:
        """Whether no fault is still to happen."""
        return not self._faults

    def heal(self) -> None:
        """Take back all faults that have not happened yet."""
        self._faults.clear()

    # inside

    def _begin(self, call: Call) -> None:
        self.calls.append(call)
        if self.before_call is not None:
            self.before_call(call)
        self._strike("before", call)

    def _end(self, call: Call) -> None:
        self._strike("after", call)

    def _strike(self, when: str, call: Call) -> None:
        for fault in self._faults:
            if fault.hits(when, call):
                self._faults.remove(fault)
                raise fault.error

    def _of(self, kind: Kind) -> dict[Key, Manifest]:
        return self._objects.setdefault(kind, {})

    def _found(self, kind: Kind, key: Key) -> Manifest:
        found = self._of(kind).get(key)
        if found is None:
            raise NotFound(f"{kind.resource} {key.namespace}/{key.name} not found")
        return found

    def _check(self, live: Manifest, uid: str, version: str | None) -> None:
        metadata = live["metadata"]
        if metadata["uid"] != uid or version not in (None, metadata["resourceVersion"]):
            raise Conflict(f"{metadata['name']}: the object has been modified")

    def _add(self, kind: Kind, manifest: Manifest) -> Manifest:
        created = copied(manifest)
        created.pop("status", None)
        created["apiVersion"], created["kind"] = kind.api_version, kind.kind
        created["metadata"] |= {
            "uid": f"uid-{next(self._uids)}",
            "creationTimestamp": _stamp(self.time),
            "generation": 1,
            "resourceVersion": self._next_version(),
        }
        self._of(kind)[_key(created)] = created
        if self._seen(kind, created):
            self._tell(kind, "ADDED", created)
        return copied(created)

    def _store(self, kind: Kind, key: Key, changed: Manifest) -> Manifest:
        """Put a changed object in place of the live one, as one effective write or none."""
        live = self._of(kind)[key]
        written = {name: value for name, value in copied(changed).items() if value is not None}
        keep = {name: live["metadata"][name] for name in ("uid", "creationTimestamp", "generation", "resourceVersion")}
        written["metadata"] = {**written["metadata"], **keep}
        if written == live:
            return copied(live)
        if _content(written) != _content(live):
            written["metadata"]["generation"] += 1
        written["metadata"]["resourceVersion"] = self._next_version()
        before = self._seen(kind, live)
        metadata = written["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            del self._of(kind)[key]
            if before:
                self._tell(kind, "DELETED", written)
            return copied(written)
        self._of(kind)[key] = written
        if self._seen(kind, written):
            self._tell(kind, "MODIFIED" if before else "ADDED", written)
        elif before:
            self._tell(kind, "DELETED", written)
        return copied(written)

    def _seen(self, kind: Kind, found: Manifest) -> bool:
        return _selected(found, kinds.selector(kind))

    def _tell(self, kind: Kind, event: Literal["ADDED", "MODIFIED", "DELETED"], found: Manifest) -> None:
        if kind in self._streams:
            self._streams[kind].append(WatchEvent(kind, event, copied(found)))

    def _next_version(self) -> str:
        self._version = next(self._versions)
        return str(self._version)


def _key(manifest: Manifest) -> Key:
    return Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def _selected(manifest: Manifest, selector: str | None) -> bool:
    """Say whether a label selector of the form ``name`` or ``name=value`` selects an object; None selects all."""
    name, equals, value = (selector or "").partition("=")
    labels: Mapping[str, str] = manifest["metadata"].get("labels") or {}
    return selector is None or (labels.get(name) == value if equals else name in labels)


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _content(manifest: Manifest) -> Manifest:
    return {name: value for name, value in manifest.items() if name not in _SPECLESS}


def _without_server_fields(manifest: Manifest) -> Manifest:
    body = copied(manifest)
    for field in ("uid", "resourceVersion", "managedFields"):
        body["metadata"].pop(field, None)
    return body
