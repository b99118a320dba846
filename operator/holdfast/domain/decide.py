"""The decision about one ModelDeployment: a pure function of a snapshot and a time.

The order is the order of importance. A decision that was taken is finished first; then people are heard, the urgent ones first;
only then do the declared model and the observed world move anything. At most one write comes out, and engines are changed only
when no write is left: intent is persisted before its effect.
"""

from datetime import datetime

from holdfast.api.deployment import Desired
from holdfast.domain import approvals, capacity, conditions, drift, proposal, rollout, upstream, weights
from holdfast.domain.lookup import Transition
from holdfast.domain.plan import CreateRevision, Plan, Write, WriteRevisionStatus, WriteStatus
from holdfast.domain.proposal import Unresolved
from holdfast.domain.snapshot import Snapshot


def decide(snapshot: Snapshot, now: datetime) -> Plan:
    """Return what to do next about the ModelDeployment.

    Args:
        snapshot: what was observed.
        now: the API server's time; never the local clock's.
    """
    if snapshot.deployment.meta.deleting:
        return Plan()  # the children go with their owner; revisions stay as history
    human = approvals.record(snapshot) or approvals.take(snapshot, now)
    if human is not None:
        return Plan(write=_complete(snapshot, human, now), person=True)
    found = proposal.resolve(snapshot, now)
    if isinstance(found, CreateRevision):
        return Plan(write=found)
    unresolved = found if isinstance(found, Unresolved) else None
    moved = _move(snapshot, found, now)
    if isinstance(moved, WriteRevisionStatus):
        return Plan(write=moved)
    transition = moved or Transition(snapshot.deployment.status)
    status = conditions.observe(snapshot, transition.status, now)
    changed = status != snapshot.deployment.status
    retry = unresolved.retry_at if unresolved is not None else None
    times = [rollout.next_wake(snapshot), weights.next_wake(snapshot), retry]
    notes = (*transition.notes, *upstream.notes(snapshot.deployment.status.upstream, status.upstream))
    return Plan(
        write=WriteStatus(status=status, notes=notes) if changed else None,
        resolve=unresolved is not None and unresolved.ask,
        engines=capacity.engines(snapshot),
        remove=capacity.removable(snapshot),
        renew=weights.to_renew(snapshot, now),
        quarantine=drift.drifts(snapshot),
        # What a time that has passed did not move waits for something else: that is news when it comes.
        wake_at=min((time for time in times if time is not None and time > now), default=None),
    )


def _move(snapshot: Snapshot, found: Desired | Unresolved, now: datetime) -> Transition | WriteRevisionStatus | None:
    """Return the one transition that the declared model or the observed world asks for."""
    status = snapshot.deployment.status
    if isinstance(found, Desired):
        restored = proposal.restore(snapshot, found)
        if restored is not None:
            return restored
        if found != status.desired:
            return Transition(status.model_copy(update={"desired": found}))
    return rollout.progress(snapshot, now) or proposal.propose(snapshot)


def _complete(snapshot: Snapshot, write: Write, now: datetime) -> Write:
    """Let every write of the status carry the conditions that belong to it."""
    if not isinstance(write, WriteStatus):
        return write
    status = conditions.observe(snapshot, write.status, now)
    notes = (*write.notes, *upstream.notes(snapshot.deployment.status.upstream, status.upstream))
    return WriteStatus(status=status, notes=notes)
