"""One ModelDeployment: look, decide, do one thing, look again.

All decisions are `decide`'s. What is here makes them happen in an order that survives a kill at any point: writes of our own
objects one by one until none is left, then children, and what takes something away only after the ModelDeployment was read once
more from the API server itself.
"""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from holdfast.api import names
from holdfast.api.names import Key
from holdfast.api.reasons import ConditionType, Reason
from holdfast.cluster import kinds
from holdfast.cluster.errors import RETRY_REJECTED, RETRY_WAITING, Conflict, Failure, NotFound, Rejected, Transient
from holdfast.cluster.port import Cluster, Manifest
from holdfast.controller.children import Children, Matched, Owner
from holdfast.controller.mirror import Mirror
from holdfast.controller.observer import Observer
from holdfast.controller.ports import Decide, Gateways, Renderer
from holdfast.controller.queue import WorkQueue
from holdfast.controller.records import LiveObject, Unreadable
from holdfast.controller.resolutions import Resolutions
from holdfast.controller.snapshots import Blind, Snapshots
from holdfast.controller.upstream import UpstreamWatch
from holdfast.controller.writer import Writer
from holdfast.controller.writes import Writes
from holdfast.domain import conditions, drift, egress, retention
from holdfast.domain.plan import Plan
from holdfast.domain.proposal import current_desired
from holdfast.domain.snapshot import DeploymentView, Snapshot, Stopped
from holdfast.domain.verification import untold

logger = logging.getLogger(__name__)

_STEPS: Final = 50
"""Steps of one visit. A life has far fewer in a row; more means that two rules undo each other."""
_RESTLESS: Final = 60.0
"""Seconds of rest after a visit that did not settle."""
_RACES: Final = 5
"""Lost races of one visit; then others get their turn first."""
_SOONEST: Final = 0.05
"""Seconds before a wake-up at least: the clocks differ by fractions of a second."""
_PASSING: Final = (kinds.JOB, kinds.NETWORK_POLICY)
"""Kinds of which a revision has an object with one type of cache and none with another."""

_Group = tuple[Sequence[Manifest], str | None]
"""Children that stand or fall together, or what keeps them from being rendered."""


class Reconciler:
    """Brings ModelDeployments to where their owners decided that they should be."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        mirror: Mirror,
        queue: WorkQueue,
        writer: Writer,
        writes: Writes,
        children: Children,
        snapshots: Snapshots,
        resolutions: Resolutions,
        upstream: UpstreamWatch,
        gateways: Gateways,
        renderer: Renderer,
        decide: Decide,
        observer: Observer,
    ) -> None:
        self._cluster = cluster
        self._mirror = mirror
        self._queue = queue
        self._writer = writer
        self._writes = writes
        self._children = children
        self._snapshots = snapshots
        self._resolutions = resolutions
        self._upstream = upstream
        self._gateways = gateways
        self._renderer = renderer
        self._decide = decide
        self._observer = observer
        self._matched: dict[Key, Matched] = {}
        self._stopped: dict[Key, Stopped] = {}
        """What ended the last visit, where it did not come to its end."""

    async def reconcile(self, key: Key) -> None:
        """Do what is to be done about one ModelDeployment now, and queue it for when there is more.

        Raises:
            Failure: it could not be finished; the kind says when to come back.
        """
        try:
            await self._visit(key)
        except Rejected as rejection:
            await self._tell_why(key, Stopped(reason=Reason.CHILD_REFUSED, message=str(rejection)))
            raise
        except Failure:
            raise
        except Exception:
            await self._tell_why(key, conditions.BUG, event=True)
            raise
        if self._stopped.pop(key, None) is not None:
            self._queue.add(key)  # the status is still to say so

    async def _visit(self, key: Key) -> None:
        lost_races = 0
        for _ in range(_STEPS):
            self._queue.looked(key)
            snapshot = self._look(key)
            if snapshot is None:
                self._forget(key)
                return
            if isinstance(snapshot, Blind):
                return  # the gateway's reconciler queues the key once it has looked
            if isinstance(snapshot, Unreadable):
                logger.error("object cannot be read", extra={"deployment": key, "problem": snapshot.problem})
                return
            try:
                plan = await self._step(key, snapshot)
            except (Conflict, NotFound) as lost:
                lost_races += 1
                if lost_races > _RACES:
                    raise
                logger.debug("lost a race", extra={"deployment": key, "error": str(lost)})
                continue
            if plan is not None:
                self._rest(key, snapshot, plan)
                return
        told = f"ModelDeployment {key.namespace}/{key.name} did not settle in {_STEPS} steps"
        raise Transient(told, retry_after=_RESTLESS)

    def _look(self, key: Key) -> Snapshot | Unreadable | Blind | None:
        return self._snapshots.build(key, self._matched.get(key, Matched()), stopped=self._stopped.get(key))

    async def _tell_why(self, key: Key, why: Stopped, *, event: bool = False) -> None:
        """Tell where people look, and once: the next visit finds it in the status and the log has the details.

        What is decided from then on says the same, until a visit gets through: so nothing is written again and again.
        """
        told_before = self._stopped.get(key) == why
        self._stopped[key] = why
        deployment = self._mirror.deployment(key)
        if isinstance(deployment, DeploymentView):
            with contextlib.suppress(Failure):  # it is tried again with everything else
                await self._writes.tell(deployment, why, self._cluster.now(), event=event and not told_before)

    async def _step(self, key: Key, snapshot: Snapshot) -> Plan | None:
        """Do one thing; return the plan if nothing was left to do."""
        now = self._cluster.now()
        plan = self._decide(snapshot, now)
        self._ask(key, snapshot, plan)
        if not plan.person and await self._turn(key, snapshot):
            return None
        if plan.quarantine and await self._quarantine(key, plan):
            return None
        if plan.write is not None and (plan.person or not self._troubled_before(key, snapshot)):
            await self._writes.execute(snapshot, plan.write, now)
            return None
        before = self._matched.get(key, Matched())
        matched = await self._match(key, snapshot, plan)
        if matched is None:
            return None
        self._matched[key] = replace(matched, changed=False)
        return plan if plan.write is None and not matched.news(before) else None

    async def _turn(self, key: Key, snapshot: Snapshot) -> bool:
        """Close the way out of pods that have fetched, before anything else is done; return whether anything changed.

        Nothing else waits for this, as for `_quarantine`.
        """
        changed = False
        for pod in egress.to_turn(snapshot):
            try:
                await self._writes.turn(snapshot, pod)
                changed = True
            except (Conflict, NotFound):
                await self._writer.refresh(kinds.POD, Key(key.namespace, pod.name), by=key)
                changed = True
            except Failure as failure:
                told = {"deployment": key, "pod": pod.name, "open": pod.way_out, "error": str(failure)}
                logger.error("way out of a pod is not as it should be", extra=told)
                self._queue.add_after(key, RETRY_WAITING)
        return changed

    async def _quarantine(self, key: Key, plan: Plan) -> bool:
        """Take pods out of traffic that are not what was approved; return whether anything is different now.

        Watches tell of pods and of their Deployment in any order, so both are read past the mirror first. Nothing else waits for
        this: a person may be about to use the kill switch.
        """
        try:
            for pod in plan.quarantine:
                await self._writer.refresh(kinds.POD, Key(key.namespace, pod.pod), by=key)
            for child in self._mirror.children(key):
                if child.engine is not None:
                    await self._writer.refresh(child.kind, child.key, by=key)
            snapshot = self._look(key)
            if not isinstance(snapshot, Snapshot):
                return True
            for found in drift.drifts(snapshot):
                await self._writes.quarantine(snapshot, found)
        except (Conflict, NotFound):
            raise
        except Failure as failure:
            logger.error("pod stays in traffic", extra={"deployment": key, "error": str(failure)})
            self._queue.add_after(key, RETRY_REJECTED)
            return False
        return True

    def _troubled_before(self, key: Key, snapshot: Snapshot) -> bool:
        """Whether, after a start, the children must be looked at before the status may say that all is well.

        What stands in a child's way is known in memory only; `plan.engines` follows from what is persisted, so acting on it
        before a write is safe.
        """
        told = snapshot.deployment.status.conditions or []
        return key not in self._matched and any(condition.type is ConditionType.STALLED for condition in told)

    async def _match(self, key: Key, snapshot: Snapshot, plan: Plan) -> Matched | None:
        """Make the children match, and take away what has no role; return None if something urgent cut that short."""
        deployment = snapshot.deployment
        if deployment.meta.deleting:
            return Matched()
        await self._make_sure(key, snapshot, plan)
        owner = Owner(key=key, uid=deployment.meta.uid)
        result = Matched()
        pressing = partial(self._queue.is_pressing, key)  # a person may have decided meanwhile
        groups = self._desired(snapshot, plan) if deployment.spec is not None else []
        for objects, missing in groups:
            if missing is not None:
                result += Matched(refused=(((kinds.MODEL_REVISION, key), missing),))
            result += await self._children.match(objects, by=key, owner=owner, pressing=pressing)
            if pressing():
                return None
        for child in self._snapshots.owned(deployment):
            if not child.deleting and (child.revision in plan.remove or _is_over(child, plan, groups)):
                await self._children.remove(child.kind, child.key, uid=child.uid)
                logger.info("child removed", extra={"deployment": key, "child": f"{child.kind.kind} {child.key.name}"})
                result += Matched(changed=True)
        await self._tell(key, snapshot)
        return result

    async def _tell(self, key: Key, snapshot: Snapshot) -> None:
        """Hand the wish to have all bytes hashed anew on to the pods: on themselves, because a changed template replaces them."""
        word = snapshot.deployment.verify or ""
        for pod in untold(snapshot):
            annotations = {names.ANNOTATION_VERIFY: word}
            with contextlib.suppress(Conflict, NotFound):  # it is gone
                await self._writer.annotate(kinds.POD, Key(key.namespace, pod.name), uid=pod.uid, annotations=annotations, by=key)

    def _desired(self, snapshot: Snapshot, plan: Plan) -> list[_Group]:
        """Return the children."""
        deployment = snapshot.deployment
        groups: list[_Group] = [(self._renderer.shared_objects(deployment, retention.named(snapshot)), None)]
        by_number = {view.spec.number: view for view in snapshot.revisions}
        for intent in plan.engines:
            revision = by_number.get(intent.revision)
            if revision is None:
                groups.append(((), f"revision {intent.revision} has a role, and its ModelRevision is gone"))
                continue
            try:
                groups.append((self._renderer.engine_objects(deployment, revision, intent.replicas), None))
            except ValueError as error:  # an older operator does not know how the revision was rendered
                groups.append(((), str(error)))
        return groups

    async def _make_sure(self, key: Key, snapshot: Snapshot, plan: Plan) -> None:
        """Before taking anything away, read the ModelDeployment and the gateway's pods past the mirror.

        A gateway pod of which no watch has told yet may route to what is about to go.

        Raises:
            Conflict: they are not those that were decided on.
        """
        counts = {intent.revision: intent.replicas for intent in plan.engines}
        shrinks = any(engine.replicas > counts.get(engine.revision, engine.replicas) for engine in snapshot.engines)
        if not plan.remove and not shrinks:
            return
        found = await self._writer.refresh(kinds.MODEL_DEPLOYMENT, key, by=key)
        seen = snapshot.deployment.meta.resource_version
        if found is None or found["metadata"]["resourceVersion"] != seen:
            raise Conflict(f"ModelDeployment {key.namespace}/{key.name} changed")
        await self._gateways.look_closer(key)
        if self._gateways.view(key) != snapshot.gateway:
            raise Conflict(f"the gateway of {key.namespace}/{key.name} changed")

    def _ask(self, key: Key, snapshot: Snapshot, plan: Plan) -> None:
        spec = snapshot.deployment.spec
        self._upstream.want(key, snapshot)
        if spec is not None and plan.resolve:
            self._resolutions.want(key, spec.model)
        elif plan.write is None and (spec is None or current_desired(snapshot) is not None):
            self._resolutions.release(key)

    def _rest(self, key: Key, snapshot: Snapshot, plan: Plan) -> None:
        """Queue the key for when there is something to do though nothing changes."""
        self._observer.deployment(key, snapshot.deployment.status)
        if plan.wake_at is not None:
            delay = (plan.wake_at - self._cluster.now()).total_seconds()
            self._queue.add_after(key, max(_SOONEST, delay))
        matched = self._matched.get(key, Matched())
        if matched.waiting:
            self._queue.add_after(key, RETRY_WAITING)
        elif matched.trouble:
            self._queue.add_after(key, RETRY_REJECTED)

    def _forget(self, key: Key) -> None:
        self._resolutions.release(key)
        self._upstream.release(key)
        self._matched.pop(key, None)
        self._stopped.pop(key, None)
        self._writes.forget(key)
        self._queue.forget(key)
        self._observer.deployment(key, None)


def _is_over(child: LiveObject, plan: Plan, groups: Sequence[_Group]) -> bool:
    """Whether a child has to go though its revision runs: a Job that has to fetch anew, or what this cache has no use for."""
    if child.kind is kinds.JOB and child.revision in plan.renew:
        return True
    wanted = {(kinds.of(each), each["metadata"]["name"]) for objects, _ in groups for each in objects}
    if child.kind is kinds.CONFIG_MAP and child.revision is None:
        return bool(wanted) and (child.kind, child.key.name) not in wanted
    if child.kind not in _PASSING:
        return False
    rendered = {each["metadata"]["labels"].get(names.LABEL_REVISION) for objects, _ in groups for each in objects}
    return str(child.revision) in rendered and (child.kind, child.key.name) not in wanted
