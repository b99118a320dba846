"""Carries out the one write that a plan asks for, on exactly what the decision saw."""

import logging
from datetime import datetime

from holdfast.api import names
from holdfast.api.approval import ApprovalState
from holdfast.api.decision import DecisionType, Gate
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.names import Key, revision_name
from holdfast.api.reasons import ConditionType, Phase
from holdfast.cluster import kinds
from holdfast.cluster.errors import AlreadyExists, Conflict, Rejected
from holdfast.cluster.events import Recorder, Regarding
from holdfast.cluster.port import Manifest
from holdfast.controller.observer import Observer
from holdfast.controller.writer import Writer
from holdfast.domain import conditions
from holdfast.domain.drift import Drift
from holdfast.domain.plan import CreateRevision, Note, SettleApproval, Write, WriteRevisionStatus, WriteStatus
from holdfast.domain.snapshot import DeploymentView, Meta, PodView, Snapshot, Stopped

logger = logging.getLogger(__name__)


class Writes:
    """Executes writes, tells of them in Events and metrics, and sees to it that the mirror knows the outcome."""

    def __init__(self, *, writer: Writer, recorder: Recorder, observer: Observer) -> None:
        self._writer = writer
        self._recorder = recorder
        self._observer = observer
        self._phases: dict[Key, tuple[Phase | None, datetime]] = {}

    async def execute(self, snapshot: Snapshot, write: Write, now: datetime) -> None:
        """Carry out one write.

        Raises:
            Conflict: what the decision saw is outdated; by now the mirror is not.
            Failure: the write did not happen, or (Transient) perhaps did.
        """
        key = snapshot.deployment.meta.key
        match write:
            case CreateRevision():
                await self._create_revision(snapshot, write)
            case WriteRevisionStatus():
                view = next(view for view in snapshot.revisions if view.spec.number == write.revision)
                await self._put(kinds.MODEL_REVISION, view.meta, write.status.wire(), by=key)
            case SettleApproval():
                approval = next(view for view in snapshot.approvals if view.meta.key.name == write.name)
                await self._put(kinds.MODEL_APPROVAL, approval.meta, write.status.wire(), by=key)
                if write.status.state is ApprovalState.REFUSED and write.status.reason is not None:
                    self._observer.refused(write.status.reason)
            case WriteStatus():
                await self._write_status(snapshot, write, now)

    async def quarantine(self, snapshot: Snapshot, found: Drift) -> None:
        """Take a pod out of traffic, and tell of it; the pod itself stays as it is.

        Raises:
            Failure: it did not happen, or (Transient) perhaps did.
        """
        meta = snapshot.deployment.meta
        pod = Key(meta.key.namespace, found.pod)
        annotations = {names.ANNOTATION_QUARANTINE: found.text}
        await self._writer.annotate(kinds.POD, pod, uid=found.uid, annotations=annotations, by=meta.key)
        self._observer.quarantined(found.reason)
        extra = {"deployment": meta.key, "pod": found.pod, "reason": found.reason, "told": found.message}
        logger.error("pod out of traffic", extra=extra)
        regarding = Regarding(kind=kinds.MODEL_DEPLOYMENT, key=meta.key, uid=meta.uid, resource_version=meta.resource_version)
        message = f"pod {found.pod} is out of traffic until it is replaced: {found.message}"
        await self._recorder.record(regarding, [Note(type="Warning", reason=found.reason, message=message)])

    async def turn(self, snapshot: Snapshot, pod: PodView) -> None:
        """Open a pod's way out to the sources of its files, or close it.

        Raises:
            Failure: it did not happen, or (Transient) perhaps did.
        """
        meta = snapshot.deployment.meta
        labels = {names.LABEL_FETCHING: None if pod.way_out else names.FETCHING}
        await self._writer.relabel(kinds.POD, Key(meta.key.namespace, pod.name), uid=pod.uid, labels=labels, by=meta.key)
        told = "way out closed" if pod.way_out else "way out opened"
        logger.info(told, extra={"deployment": meta.key, "pod": pod.name})

    async def tell(self, deployment: DeploymentView, why: Stopped, now: datetime, *, event: bool) -> None:
        """Say in the status of a ModelDeployment what ended a visit, and in an Event if that is wanted.

        Raises:
            Failure: it did not happen, or (Transient) perhaps did.
        """
        meta, status = deployment.meta, conditions.stopped(deployment, why, now)
        regarding = Regarding(kind=kinds.MODEL_DEPLOYMENT, key=meta.key, uid=meta.uid, resource_version=meta.resource_version)
        if event:
            await self._recorder.record(regarding, [Note(type="Warning", reason=why.reason, message=why.message)])
        if status != deployment.status:
            await self._put(kinds.MODEL_DEPLOYMENT, meta, status.wire(), by=meta.key)

    def forget(self, key: Key) -> None:
        """Forget a ModelDeployment that is gone."""
        self._phases.pop(key, None)

    async def _create_revision(self, snapshot: Snapshot, write: CreateRevision) -> None:
        key = snapshot.deployment.meta.key
        name = revision_name(key.name, write.spec.number)
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": kinds.MODEL_REVISION.kind,
            "metadata": {
                "namespace": key.namespace,
                "name": name,
                # No owner reference: the history outlives the ModelDeployment.
                "labels": {names.LABEL_DEPLOYMENT: key.name},
            },
            "spec": write.spec.wire(),
        }
        try:
            await self._writer.create(kinds.MODEL_REVISION, manifest, by=key)
        except AlreadyExists:
            found = await self._writer.refresh(kinds.MODEL_REVISION, Key(key.namespace, name), by=key)
            if found is not None and found.get("spec", {}).get("deployment") != key.name:
                raise Rejected(f"ModelRevision {name} belongs to another ModelDeployment") from None
            raise Conflict(f"ModelRevision {name} exists already") from None
        logger.info("revision created", extra={"deployment": key, "revision": write.spec.number, "digest": write.spec.digest})

    async def _write_status(self, snapshot: Snapshot, write: WriteStatus, now: datetime) -> None:
        before, meta = snapshot.deployment.status, snapshot.deployment.meta
        answer = await self._put(kinds.MODEL_DEPLOYMENT, meta, write.status.wire(), by=meta.key)
        for note in write.notes:
            self._observer.moved(note.reason)
            told = {"deployment": meta.key, "reason": note.reason, "phase": write.status.phase, "told": note.message}
            logger.info("transition", extra=told)
        self._measure(meta.key, before, write.status, now)
        regarding = Regarding(
            kind=kinds.MODEL_DEPLOYMENT, key=meta.key, uid=meta.uid, resource_version=answer["metadata"]["resourceVersion"]
        )
        await self._recorder.record(regarding, write.notes)

    async def _put(self, kind: kinds.Kind, meta: Meta, status: Manifest, *, by: Key) -> Manifest:
        try:
            return await self._writer.replace_status(
                kind, meta.key, uid=meta.uid, resource_version=meta.resource_version, status=status, by=by
            )
        except Conflict:
            await self._writer.refresh(kind, meta.key, by=by)
            raise

    def _measure(self, key: Key, before: ModelDeploymentStatus, after: ModelDeploymentStatus, now: datetime) -> None:
        """Measure how long gates were closed and how long a fallback took."""
        known = self._phases.get(key)
        if known is None or known[0] is not after.phase:
            self._phases[key] = (after.phase, now)
        decision = after.last_decision
        fresh = decision is not None and (before.last_decision is None or before.last_decision.uid != decision.uid)
        if decision is not None and fresh and decision.decision is DecisionType.APPROVE and decision.gate is not None:
            since = known[1] if known is not None and known[0] is before.phase else _asked(before, decision.gate)
            if since is not None:
                self._observer.gate_passed(decision.gate, decision.at - since)
        if after.fallback is not None and after.fallback.observed and not (before.fallback and before.fallback.observed):
            self._observer.fell_back(now - after.fallback.since)


def _asked(status: ModelDeploymentStatus, gate: Gate) -> datetime | None:
    """Return since when a person was asked, as far as the status tells; a restart forgets when a promotion was."""
    if gate is not Gate.START:
        return None
    found = (condition for condition in status.conditions or [] if condition.type is ConditionType.APPROVED)
    return next((condition.last_transition_time for condition in found if condition.status == "False"), None)
