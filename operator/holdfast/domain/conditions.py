"""Status that tells the truth: conditions, message and observed figures, from what was seen and nothing else.

Messages hold no running clock, so that a deployment in which nothing happens is not written again.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final, Literal, NamedTuple

from holdfast.api.deployment import Condition, ModelDeploymentStatus, RequestState, WeightsKept
from holdfast.api.reasons import ConditionType, Phase, Reason
from holdfast.domain import drift, lookup, proposal, routing, upstream, weights
from holdfast.domain.rollout import next_wake
from holdfast.domain.snapshot import DeploymentView, ResolutionFailed, Snapshot, Stopped, WeightsState

_WORKING = frozenset({Phase.PREPARING, Phase.SHIFTING, Phase.PROMOTING, Phase.DRAINING, Phase.ABORTING})
_UNRESOLVED = frozenset(
    {
        Reason.SOURCE_NOT_FOUND,
        Reason.SOURCE_FORBIDDEN,
        Reason.SOURCE_UNAVAILABLE,
        Reason.SOURCE_MISMATCH,
        Reason.INVALID_SPEC,
    }
)
BUG: Final = Stopped(
    reason=Reason.INTERNAL_ERROR,
    message="Holdfast failed on this object and tries again; what serves goes on. The operator's log has the details",
)


class _Finding(NamedTuple):
    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str


def observe(snapshot: Snapshot, status: ModelDeploymentStatus, now: datetime) -> ModelDeploymentStatus:
    """Return the status with everything that follows from the snapshot filled in."""
    meta = snapshot.deployment.meta
    snapshot = replace(snapshot, deployment=replace(snapshot.deployment, status=status))
    status = _observed_weight(snapshot, status)
    ready = lookup.ready_replicas(snapshot, status.stable.revision) if status.stable is not None else 0
    status = status.model_copy(
        update={
            "observed_generation": meta.generation,
            "phase": status.phase or Phase.PENDING,
            "url": f"http://{meta.key.name}.{meta.key.namespace}.svc/v1",
            "ready_replicas": ready,
            "weights": list(weights.kept(snapshot, status)) or None,
            "upstream": upstream.observed(snapshot, status, now),
        }
    )
    findings: dict[ConditionType, _Finding | None] = {
        ConditionType.READY: _ready(snapshot, status),
        ConditionType.APPROVED: _approved(snapshot, status),
        ConditionType.PINNED: _pinned(snapshot, status),
        ConditionType.DURABLE: _durable(status),
        ConditionType.FALLBACK: _fallback(status),
        ConditionType.UPSTREAM_MOVED: _verdict(upstream.moved(snapshot, status)),
        ConditionType.UPSTREAM_AVAILABLE: _verdict(upstream.available(snapshot, status)),
        ConditionType.RECONCILING: _reconciling(status),
        ConditionType.STALLED: _stalled(snapshot, status),
    }
    before = {condition.type: condition for condition in status.conditions or []}
    conditions = [
        _condition(kind, finding, before.get(kind), meta.generation, now)
        for kind, finding in findings.items()
        if finding is not None
    ]
    return status.model_copy(update={"conditions": conditions, "message": _message(snapshot, status)[:1024]})


def stopped(deployment: DeploymentView, why: Stopped, now: datetime) -> ModelDeploymentStatus:
    """Return the status with nothing changed but that it says what ended the visit, when perhaps nothing can be decided."""
    status = deployment.status
    others = [condition for condition in status.conditions or [] if condition.type is not ConditionType.STALLED]
    before = next((condition for condition in status.conditions or [] if condition.type is ConditionType.STALLED), None)
    stalled = _condition(
        ConditionType.STALLED, _Finding("True", why.reason, why.message), before, deployment.meta.generation, now
    )
    return status.model_copy(update={"conditions": [*others, stalled]})


def _condition(kind: ConditionType, finding: _Finding, before: Condition | None, generation: int, now: datetime) -> Condition:
    unchanged = before is not None and before.status == finding.status
    return Condition(
        type=kind,
        status=finding.status,
        observed_generation=generation,
        last_transition_time=before.last_transition_time if unchanged and before is not None else now,
        reason=finding.reason,
        message=finding.message[:1024],
    )


def _verdict(verdict: upstream.Verdict | None) -> _Finding | None:
    return _Finding(*verdict) if verdict is not None else None


def _observed_weight(snapshot: Snapshot, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    candidate = status.candidate
    if candidate is None or candidate.weight_observed == candidate.weight_intent:
        return status
    if not routing.observed(snapshot.gateway, routing.intended_arms(status)):
        return status
    return status.model_copy(update={"candidate": candidate.model_copy(update={"weight_observed": candidate.weight_intent})})


def _ready(snapshot: Snapshot, status: ModelDeploymentStatus) -> _Finding:
    arms = routing.intended_arms(status)
    if not arms:
        return _Finding("False", Reason.NOTHING_APPROVED, "no revision was approved yet: requests are answered with 503")
    if not routing.observed(snapshot.gateway, arms):
        previous = next((c for c in status.conditions or [] if c.type is ConditionType.READY), None)
        if previous is not None and previous.status == "True" and snapshot.gateway.ready_pods:
            return _Finding("True", previous.reason, previous.message)  # the route before is still in force
        return _Finding("False", Reason.PROPAGATING, "not every gateway pod has the route yet")
    if status.fallback is not None:
        where = status.fallback.external or f"revision {status.fallback.revision}"
        served = status.fallback.revision is None or lookup.ready_replicas(snapshot, status.fallback.revision) > 0
        verdict: Literal["True", "False"] = "True" if served else "False"
        return _Finding(verdict, Reason.FALLBACK_ACTIVE, f"all requests are answered by {where}")
    if status.stable is None:
        return _Finding("False", Reason.NOT_SERVING, "the first revision is not promoted yet")
    if lookup.ready_replicas(snapshot, status.stable.revision) == 0:
        return _Finding("False", Reason.NOT_SERVING, f"revision {status.stable.revision} has no ready pod")
    return _Finding("True", Reason.SERVING, f"revision {status.stable.revision} serves")


def _approved(snapshot: Snapshot, status: ModelDeploymentStatus) -> _Finding:
    desired, request = status.desired, status.request
    if desired is None or desired.declared != proposal.declared(snapshot):
        return _Finding("Unknown", Reason.RESOLVING, "the declared model is not resolved yet")
    if status.stable is not None and status.stable.digest == desired.digest:
        return _Finding(
            "True", Reason.APPROVED, f"revision {desired.revision} was approved by {status.stable.approved_by or 'its owner'}"
        )
    if request is None or request.digest != desired.digest:
        return _Finding("False", Reason.AWAITING_OWNER, f"revision {desired.revision} is not proposed yet")
    if request.state is RequestState.APPROVED:
        return _Finding("True", Reason.APPROVED, f"the start of revision {desired.revision} was approved")
    if request.state is RequestState.REJECTED:
        return _Finding("False", Reason.REJECTED, request.message or "rejected")
    return _Finding(
        "False", Reason.AWAITING_OWNER, f"request {request.number} for revision {desired.revision} waits for its owner"
    )


def _pinned(snapshot: Snapshot, status: ModelDeploymentStatus) -> _Finding:
    for pod in weights.failures(snapshot):
        if pod.weights_reason is not None:
            return _Finding("False", pod.weights_reason, f"pod {pod.name}: {pod.weights_message}")
    drifted = drift.told(snapshot)
    if drifted is not None:
        return _Finding("False", *drifted)
    desired, resolution = status.desired, snapshot.resolution
    wanted = proposal.declared(snapshot)
    if desired is None or desired.declared != wanted:
        if isinstance(resolution, ResolutionFailed) and resolution.declared == wanted:
            return _Finding("False", resolution.reason, resolution.message)
        return _unresolved_before(snapshot, ConditionType.PINNED) or _Finding(
            "Unknown", Reason.RESOLVING, "the list of files is being read"
        )
    serving = [pod for pod in snapshot.pods if not pod.deleting]
    if not serving:
        return _Finding("True", Reason.VERIFIED, "the model is resolved to exact files; no pod runs")
    unverified = sorted(pod.name for pod in serving if pod.weights is not WeightsState.VERIFIED)
    if unverified:
        return _Finding("Unknown", Reason.VERIFYING, f"{len(unverified)} of {len(serving)} pods are still verifying their files")
    return _Finding("True", Reason.VERIFIED, "the model is resolved and every pod verified its files")


def _unresolved_before(snapshot: Snapshot, kind: ConditionType) -> _Finding | None:
    """Return what the Hub's last answer made of a condition, while it is asked again after a restart: until then it stands."""
    deployment = snapshot.deployment
    if deployment.spec is None or snapshot.resolution is not None or proposal.current_desired(snapshot) is not None:
        return None
    return next(
        (
            _Finding(before.status, before.reason, before.message)
            for before in deployment.status.conditions or []
            if before.type is kind and before.reason in _UNRESOLVED and before.observed_generation == deployment.meta.generation
        ),
        None,
    )


def _durable(status: ModelDeploymentStatus) -> _Finding | None:
    if not status.weights:
        return None
    fetched = [found for found in status.weights if found.kept is WeightsKept.UPSTREAM]
    if not fetched:
        return _Finding("True", Reason.WEIGHTS_OWNED, "new pods start whatever happens upstream")
    return _Finding(
        "False", Reason.WEIGHTS_UPSTREAM, "; ".join(f"revision {found.revision}: {found.message}" for found in fetched)
    )


def _fallback(status: ModelDeploymentStatus) -> _Finding:
    fallback = status.fallback
    if fallback is None:
        return _Finding("False", Reason.NO_FALLBACK, "traffic follows the approved revisions")
    where = fallback.external or f"revision {fallback.revision}"
    return _Finding(
        "True", Reason.FALLBACK_ACTIVE, f"{fallback.by} sent all traffic to {where}: {fallback.reason or 'no reason given'}"
    )


def _reconciling(status: ModelDeploymentStatus) -> _Finding | None:
    if status.phase not in _WORKING:
        return None
    return _Finding("True", Reason.PROGRESSING, f"{status.phase}")


def _stalled(snapshot: Snapshot, status: ModelDeploymentStatus) -> _Finding | None:
    if snapshot.stopped is not None:
        return _Finding("True", snapshot.stopped.reason, snapshot.stopped.message)
    if snapshot.deployment.invalid is not None:
        return _Finding("True", Reason.INVALID_SPEC, snapshot.deployment.invalid)
    if snapshot.conflicts:
        return _Finding("True", Reason.NAME_CONFLICT, "; ".join(snapshot.conflicts))
    if snapshot.refused:
        return _Finding("True", Reason.CHILD_REFUSED, "; ".join(snapshot.refused))
    resolution = snapshot.resolution
    if (
        isinstance(resolution, ResolutionFailed)
        and resolution.declared == proposal.declared(snapshot)
        and resolution.reason is not Reason.SOURCE_UNAVAILABLE
        and proposal.current_desired(snapshot) is None
    ):
        return _Finding("True", resolution.reason, resolution.message)
    before = _unresolved_before(snapshot, ConditionType.STALLED)
    if before is not None:
        return before
    request = status.request
    if request is None or request.reason is None:
        return None
    if status.phase is Phase.ABORTED or request.state is RequestState.REJECTED:
        return _Finding("True", request.reason, request.message or "")
    return None


def _message(snapshot: Snapshot, status: ModelDeploymentStatus) -> str:
    candidate, request, stable = status.candidate, status.request, status.stable
    serving = f"revision {stable.revision} serves" if stable is not None else "nothing serves"
    if snapshot.deployment.invalid is not None:
        return f"the spec could not be read: {snapshot.deployment.invalid}; {serving}"
    match status.phase:
        case Phase.AWAITING_APPROVAL if request is not None:
            return f"{serving}; request {request.number} for revision {request.revision} waits for its owner"
        case Phase.PREPARING if candidate is not None:
            return f"{serving}; revision {candidate.revision} is loading"
        case Phase.SHIFTING if candidate is not None:
            return f"{serving}; revision {candidate.revision} is going to {candidate.weight_intent / 100:g} % of users"
        case Phase.SOAKING if candidate is not None:
            until = next_wake(snapshot)
            when = f" until {until:%Y-%m-%dT%H:%M:%SZ}" if until is not None else ""
            return f"{serving}; revision {candidate.revision} has {candidate.weight_intent / 100:g} % of users{when}"
        case Phase.AWAITING_PROMOTION if candidate is not None:
            return f"{serving}; revision {candidate.revision} waits for its promotion at {candidate.weight_intent / 100:g} % of users"
        case Phase.PROMOTING if candidate is not None:
            return f"revision {candidate.revision} is taking all users"
        case Phase.ABORTING | Phase.ABORTED if request is not None:
            return f"{serving}; {request.message or 'the candidate was aborted'}"
        case Phase.FALLBACK if status.fallback is not None:
            where = status.fallback.external or f"revision {status.fallback.revision}"
            return f"all requests are answered by {where}, until a person resumes"
        case Phase.DRAINING if status.last_known_good is not None:
            return f"{serving}; revision {status.last_known_good.revision} finishes its streams"
        case _:
            return serving
