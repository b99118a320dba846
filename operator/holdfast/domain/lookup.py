"""Questions about a snapshot that several policies ask."""

from dataclasses import dataclass

from holdfast.api.decision import Decision, DecisionType, Gate
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.reasons import Phase
from holdfast.api.rollout import Rollout
from holdfast.domain.plan import Note
from holdfast.domain.snapshot import EngineView, RevisionView, Snapshot

BUSY = frozenset({Phase.PREPARING, Phase.SHIFTING, Phase.SOAKING, Phase.AWAITING_PROMOTION, Phase.PROMOTING})
"""Phases in which a candidate is being tried and can be aborted."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A new status and what to tell about it."""

    status: ModelDeploymentStatus
    notes: tuple[Note, ...] = ()


def revision(snapshot: Snapshot, number: int) -> RevisionView | None:
    """Return the ModelRevision with this number."""
    return next((view for view in snapshot.revisions if view.spec.number == number), None)


def engine(snapshot: Snapshot, number: int) -> EngineView | None:
    """Return the live engine of this revision."""
    return next((view for view in snapshot.engines if view.revision == number), None)


def ready_replicas(snapshot: Snapshot, number: int) -> int:
    """Ready pods of this revision."""
    view = engine(snapshot, number)
    return view.ready_replicas if view else 0


def rollout_snapshot(snapshot: Snapshot) -> Rollout | None:
    """Return the rollout that was in force when the current request's start was approved.

    A later edit of ``spec.rollout`` therefore cannot loosen a canary that is under way.
    """
    status = snapshot.deployment.status
    request = status.request
    if request is None:
        return None
    recorded = decisions(snapshot, request.revision)
    if status.last_decision is not None:
        recorded.append(status.last_decision)
    for decision in reversed(recorded):
        if decision.decision is DecisionType.APPROVE and decision.gate is Gate.START and decision.request == request.number:
            return decision.rollout
    return None


def decisions(snapshot: Snapshot, number: int) -> list[Decision]:
    """Return the decisions recorded on a revision, oldest first."""
    view = revision(snapshot, number)
    return list(view.status.decisions or []) if view else []


def highest_request(snapshot: Snapshot) -> int:
    """Return the highest request number ever used for this name, over the lives of the object."""
    numbers = [d.request for view in snapshot.revisions for d in view.status.decisions or [] if d.request is not None]
    if snapshot.deployment.status.request is not None:
        numbers.append(snapshot.deployment.status.request.number)
    return max(numbers, default=0)


def settled_phase(status: ModelDeploymentStatus) -> Phase:
    """Return the phase of a deployment in which nothing is going on."""
    return Phase.STABLE if status.stable is not None else Phase.PENDING
