"""The life of a candidate, one transition at a time.

Every transition is a function of what was persisted and observed; a restart at any point goes on from there. No clock promotes:
the last thing that time can reach is the phase AwaitingPromotion.
"""

from datetime import datetime, timedelta

from holdfast.api.deployment import Candidate, ModelDeploymentStatus, RequestState, RevisionRole
from holdfast.api.names import TOTAL_WEIGHT
from holdfast.api.reasons import Phase, Reason
from holdfast.domain import defaults, history, lookup, routing, weights
from holdfast.domain.approvals import aborting
from holdfast.domain.lookup import Transition
from holdfast.domain.plan import Note, WriteRevisionStatus
from holdfast.domain.proposal import current_desired
from holdfast.domain.snapshot import Snapshot


def progress(snapshot: Snapshot, now: datetime) -> Transition | WriteRevisionStatus | None:
    """Return the next transition of the phase that the deployment is in."""
    status = snapshot.deployment.status
    if status.phase in lookup.BUSY and status.candidate is not None:
        stop = _superseded(snapshot, status.candidate) or _failed(snapshot, status.candidate, now)
        if stop is not None:
            return stop
    match status.phase:
        case Phase.PREPARING:
            return _prepare(snapshot, now)
        case Phase.SHIFTING:
            return _shift(snapshot, now)
        case Phase.SOAKING:
            return _soak(snapshot, now)
        case Phase.PROMOTING:
            return _promote(snapshot, now)
        case Phase.DRAINING:
            return _drain(snapshot, now)
        case Phase.ABORTING | Phase.FALLBACK:
            return _release(snapshot)
        case _:
            return None


def next_wake(snapshot: Snapshot) -> datetime | None:
    """Return when time alone changes the outcome."""
    status, spec = snapshot.deployment.status, snapshot.deployment.spec
    candidate = status.candidate
    times: list[datetime] = []
    if candidate is not None and status.phase is Phase.PREPARING:
        times.append(candidate.started_at + defaults.load_deadline(lookup.rollout_snapshot(snapshot)))
    if candidate is not None and status.phase is Phase.SOAKING and candidate.step_entered_at is not None:
        times.append(candidate.step_entered_at + _hold(snapshot, candidate))
    if candidate is not None and candidate.unready_since is not None and status.phase in lookup.BUSY:
        times.append(candidate.unready_since + defaults.UNREADY_GRACE)
    if status.phase is Phase.DRAINING and status.draining_since is not None and spec is not None:
        times.append(status.draining_since + defaults.drain_time(spec))
    return min(times, default=None)


def _hold(snapshot: Snapshot, candidate: Candidate) -> timedelta:
    steps = defaults.steps(lookup.rollout_snapshot(snapshot))
    return timedelta(seconds=steps[min(candidate.step or 0, len(steps) - 1)].hold_seconds)


def _superseded(snapshot: Snapshot, candidate: Candidate) -> Transition | None:
    """A change of what is declared ends the trial: the new digest needs a request of its own."""
    status, desired = snapshot.deployment.status, current_desired(snapshot)
    if desired is None or desired.digest == candidate.digest:
        return None
    back = status.stable is not None and desired.digest == status.stable.digest
    what = f"reverted to revision {desired.revision}" if back else f"now asks for revision {desired.revision}"
    return aborting(
        status,
        Reason.SUPERSEDED,
        f"revision {candidate.revision} is aborted: the spec {what}",
        RequestState.WITHDRAWN if back else RequestState.ABORTED,
    )


def _failed(snapshot: Snapshot, candidate: Candidate, now: datetime) -> Transition | None:
    """A candidate that takes traffic and has no ready pod goes back by itself, after a grace for a replaced pod."""
    status = snapshot.deployment.status
    if status.phase is Phase.PREPARING:
        return None
    if lookup.ready_replicas(snapshot, candidate.revision) > 0:
        if candidate.unready_since is None:
            return None
        well = candidate.model_copy(update={"unready_since": None})
        return Transition(status.model_copy(update={"candidate": well}))
    if candidate.unready_since is None:
        return Transition(status.model_copy(update={"candidate": candidate.model_copy(update={"unready_since": now})}))
    if now < candidate.unready_since + defaults.UNREADY_GRACE:
        return None
    seconds = int(defaults.UNREADY_GRACE.total_seconds())
    message = f"revision {candidate.revision} had no ready pod for {seconds} s"
    return aborting(status, Reason.CANDIDATE_FAILED, message, RequestState.ABORTED)


def _prepare(snapshot: Snapshot, now: datetime) -> Transition | None:
    status, spec = snapshot.deployment.status, snapshot.deployment.spec
    candidate = status.candidate
    if candidate is None or spec is None:
        return None
    rollout = lookup.rollout_snapshot(snapshot)
    if lookup.ready_replicas(snapshot, candidate.revision) >= max(1, defaults.replicas(spec)):
        note = Note(type="Normal", reason=Reason.CANDIDATE_READY, message=f"revision {candidate.revision} is loaded and verified")
        if status.stable is None:
            first = candidate.model_copy(update={"ready_at": now, "weight_intent": TOTAL_WEIGHT})
            return Transition(status.model_copy(update={"phase": Phase.PROMOTING, "candidate": first}), (note,))
        weight = defaults.steps(rollout)[0].weight * 100
        ready = candidate.model_copy(update={"ready_at": now, "step": 0, "weight_intent": weight})
        return Transition(status.model_copy(update={"phase": Phase.SHIFTING, "candidate": ready}), (note,))
    deadline = defaults.load_deadline(rollout)
    if now < candidate.started_at + deadline:
        return None
    why = next((pod.weights_message for pod in weights.failures(snapshot) if pod.revision == candidate.revision), "")
    message = f"revision {candidate.revision} was not ready within {int(deadline.total_seconds())} s"
    return aborting(status, Reason.CANDIDATE_NEVER_READY, f"{message}: {why}" if why else message, RequestState.ABORTED)


def _shift(snapshot: Snapshot, now: datetime) -> Transition | None:
    status, candidate = snapshot.deployment.status, snapshot.deployment.status.candidate
    if candidate is None or not routing.observed(snapshot.gateway, routing.intended_arms(status)):
        return None
    share = candidate.weight_intent / 100
    entered = candidate.model_copy(update={"step_entered_at": now, "weight_observed": candidate.weight_intent})
    return Transition(
        status.model_copy(update={"phase": Phase.SOAKING, "candidate": entered}),
        (Note(type="Normal", reason=Reason.STEP_REACHED, message=f"revision {candidate.revision} has {share:g} % of users"),),
    )


def _soak(snapshot: Snapshot, now: datetime) -> Transition | None:
    status, candidate = snapshot.deployment.status, snapshot.deployment.status.candidate
    if candidate is None or candidate.step is None or candidate.step_entered_at is None:
        return None
    steady = (
        current_desired(snapshot) is not None
        and candidate.unready_since is None
        and routing.observed(snapshot.gateway, routing.intended_arms(status))
    )
    if not steady or now < candidate.step_entered_at + _hold(snapshot, candidate):
        return None
    steps = defaults.steps(lookup.rollout_snapshot(snapshot))
    following = candidate.step + 1
    if following < len(steps):
        moved = candidate.model_copy(
            update={"step": following, "step_entered_at": None, "weight_intent": steps[following].weight * 100}
        )
        return Transition(status.model_copy(update={"phase": Phase.SHIFTING, "candidate": moved}))
    return Transition(
        status.model_copy(update={"phase": Phase.AWAITING_PROMOTION}),
        (Note(type="Normal", reason=Reason.SOAKED, message=f"revision {candidate.revision} waits for its promotion"),),
    )


def _promote(snapshot: Snapshot, now: datetime) -> Transition | WriteRevisionStatus | None:
    """Swap roles once every gateway pod was seen with all traffic on the candidate. Pods are not touched."""
    status, candidate = snapshot.deployment.status, snapshot.deployment.status.candidate
    if candidate is None or not routing.observed(snapshot.gateway, routing.intended_arms(status)):
        return None
    view = lookup.revision(snapshot, candidate.revision)
    if view is None or lookup.ready_replicas(snapshot, candidate.revision) == 0:
        return None
    told = history.promoted(view, now, since=candidate.started_at)
    if told is not None:
        return told
    by = status.last_decision.by if status.last_decision is not None else None
    role = RevisionRole(revision=candidate.revision, digest=candidate.digest, approved_by=by)
    request = status.request
    return Transition(
        status.model_copy(
            update={
                "phase": Phase.DRAINING if status.stable is not None else Phase.STABLE,
                "stable": role,
                "last_known_good": status.stable,
                "candidate": None,
                "draining_since": now if status.stable is not None else None,
                "request": request.model_copy(update={"state": RequestState.PROMOTED}) if request is not None else None,
            }
        ),
        (Note(type="Normal", reason=Reason.PROMOTED, message=f"revision {candidate.revision} serves all users"),),
    )


def _drain(snapshot: Snapshot, now: datetime) -> Transition | None:
    status, spec = snapshot.deployment.status, snapshot.deployment.spec
    if spec is None or status.draining_since is None or now < status.draining_since + defaults.drain_time(spec):
        return None
    good = status.last_known_good
    message = f"revision {good.revision} stands by as the last known good" if good is not None else "nothing stands by"
    return Transition(
        status.model_copy(update={"phase": Phase.STABLE, "draining_since": None}),
        (Note(type="Normal", reason=Reason.DRAINED, message=message),),
    )


def _release(snapshot: Snapshot) -> Transition | None:
    """Forget the candidate once no gateway pod can send it anything; only then do its pods go."""
    status = snapshot.deployment.status
    if status.phase is Phase.FALLBACK:
        status = _observe_fallback(snapshot, status)
    candidate = status.candidate
    if candidate is not None and routing.possible_weight(snapshot.gateway, candidate.revision) == 0:
        status = status.model_copy(update={"candidate": None})
    if status.phase is Phase.ABORTING and status.candidate is None:
        request = status.request
        message = request.message if request is not None and request.message else "the candidate is gone"
        return Transition(
            status.model_copy(update={"phase": Phase.ABORTED}),
            (Note(type="Warning", reason=Reason.ABORTED, message=message),),
        )
    return Transition(status) if status != snapshot.deployment.status else None


def _observe_fallback(snapshot: Snapshot, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    fallback = status.fallback
    if fallback is None:
        return status
    seen = routing.observed(snapshot.gateway, routing.intended_arms(status))
    if seen == fallback.observed or not seen:
        return status
    return status.model_copy(update={"fallback": fallback.model_copy(update={"observed": True})})
