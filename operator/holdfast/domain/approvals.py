"""Which decisions of people are accepted, and what they do at once.

A decision is accepted by one write of the deployment's status that holds both its effect and a copy of it (``lastDecision``).
The copy is then recorded on the revision and the ModelApproval is settled; a kill between any two of the three loses nothing,
and a decision is never used twice because its uid is known from the first write on.

Nothing may hold up the next decision. So what is written for one keeps within the limits of the API, and a decision for which the
revision has no room is not recorded there: its ModelApproval, which never changes, is then the only record.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast.api.approval import ApprovalState, ModelApprovalStatus
from holdfast.api.decision import Decision, DecisionType, FallbackTargetType, Gate
from holdfast.api.deployment import (
    Candidate,
    FallbackStatus,
    ModelDeploymentStatus,
    Request,
    RequestState,
    RevisionRole,
)
from holdfast.api.reasons import Phase, Reason, RefusalReason
from holdfast.domain import defaults, history, lookup
from holdfast.domain.lookup import Transition
from holdfast.domain.plan import Note, SettleApproval, Write, WriteRevisionStatus, WriteStatus
from holdfast.domain.proposal import current_desired
from holdfast.domain.snapshot import ApprovalView, Snapshot

_URGENCY = (
    DecisionType.FALLBACK,
    DecisionType.ABORT,
    DecisionType.REJECT,
    DecisionType.RESUME,
    DecisionType.APPROVE,
)
"""People who stop things are heard before people who start things."""
_MESSAGE_MAX: Final = 1024
_NAMED: Final = 10
"""Revisions that a message names at most."""


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """The decision does not fit what is there now."""

    reason: RefusalReason
    message: str


def record(snapshot: Snapshot) -> Write | None:
    """Finish the last accepted decision: copy it to its revision, then settle its ModelApproval."""
    status = snapshot.deployment.status
    last = status.last_decision
    if last is not None:
        view = lookup.revision(snapshot, last.revision)
        if (
            view is not None
            and all(known.uid != last.uid for known in view.status.decisions or [])
            and history.has_room(view, last)
        ):
            grown = [*(view.status.decisions or []), last]
            return WriteRevisionStatus(revision=view.spec.number, status=view.status.model_copy(update={"decisions": grown}))
    used = {d.uid for view in snapshot.revisions for d in view.status.decisions or []}
    if last is not None:
        used.add(last.uid)  # a fallback before the first revision has no revision to be recorded on
    for approval in snapshot.approvals:
        if approval.meta.uid in used and not _is_settled(approval):
            return SettleApproval(name=approval.meta.key.name, status=ModelApprovalStatus(state=ApprovalState.ACCEPTED))
    return None


def take(snapshot: Snapshot, now: datetime) -> Write | None:
    """Judge the most urgent decision that was not judged yet."""
    pending = [view for view in snapshot.approvals if not _is_settled(view)]
    pending.sort(key=lambda v: (_URGENCY.index(v.spec.decision), v.meta.created, v.meta.key.name))
    for approval in pending:
        try:
            judged = _judge(snapshot, approval, now)
        except Refusal as refusal:
            return SettleApproval(
                name=approval.meta.key.name,
                status=ModelApprovalStatus(
                    state=ApprovalState.REFUSED, reason=refusal.reason, message=refusal.message[:_MESSAGE_MAX]
                ),
            )
        if isinstance(judged, WriteRevisionStatus):
            return judged
        decision = _copy(snapshot, approval, now)
        notes = (*judged.notes, *history.unrecorded(snapshot, decision))
        return WriteStatus(status=judged.status.model_copy(update={"last_decision": decision}), notes=notes)
    return None


def _is_settled(approval: ApprovalView) -> bool:
    return approval.status.state in (ApprovalState.ACCEPTED, ApprovalState.REFUSED)


def _recorded_on(status: ModelDeploymentStatus) -> int:
    if status.request is not None:
        return status.request.revision
    return status.stable.revision if status.stable is not None else 0


def _copy(snapshot: Snapshot, approval: ApprovalView, now: datetime) -> Decision:
    spec = approval.spec
    starts = spec.decision is DecisionType.APPROVE and spec.gate is Gate.START
    deployed = snapshot.deployment.spec
    return Decision(
        approval=approval.meta.key.name,
        uid=approval.meta.uid,
        revision=_recorded_on(snapshot.deployment.status),
        decision=spec.decision,
        gate=spec.gate,
        request=spec.target.request,
        base=spec.target.base,
        by=spec.approver.username,
        reason=spec.reason,
        at=now,
        fallback_to=spec.fallback_to,
        rollout=deployed.rollout if starts and deployed is not None else None,
    )


def _judge(snapshot: Snapshot, approval: ApprovalView, now: datetime) -> Transition | WriteRevisionStatus:
    """Return what a decision does, or what is to be written before it does it."""
    if approval.meta.created < snapshot.deployment.meta.created:
        raise Refusal(RefusalReason.OTHER_REQUEST, "it was made for an earlier ModelDeployment of this name; decide again")
    expires = approval.meta.created + defaults.time_to_live(approval.spec)
    if now >= expires:
        raise Refusal(RefusalReason.EXPIRED, f"it expired at {expires:%Y-%m-%dT%H:%M:%SZ}; decide again")
    match approval.spec.decision:
        case DecisionType.FALLBACK:
            return _fall_back(snapshot, approval, now)
        case DecisionType.ABORT:
            return _abort(snapshot, approval)
        case DecisionType.REJECT:
            return _reject(snapshot, approval)
        case DecisionType.RESUME:
            return _resume(snapshot, approval, now)
        case DecisionType.APPROVE:
            return _approve(snapshot, approval, now)


def _matching_request(snapshot: Snapshot, approval: ApprovalView) -> Request:
    """Return the current request if the decision is about it: the same number, digest and base."""
    request, target = snapshot.deployment.status.request, approval.spec.target
    if request is None:
        raise Refusal(RefusalReason.NOTHING_TO_DECIDE, "there is no request to decide on")
    if target.request != request.number:
        raise Refusal(RefusalReason.OTHER_REQUEST, f"it is about request {target.request}; the request is now {request.number}")
    if target.digest != request.digest:
        raise Refusal(
            RefusalReason.OTHER_DIGEST, f"it is about {target.digest}; request {request.number} is about {request.digest}"
        )
    if target.base != request.base:
        raise Refusal(
            RefusalReason.OTHER_BASE,
            f"it was made while {target.base or 'nothing'} served; request {request.number} replaces {request.base or 'nothing'}",
        )
    return request


def _approve(snapshot: Snapshot, approval: ApprovalView, now: datetime) -> Transition:
    status, by = snapshot.deployment.status, approval.spec.approver.username
    request = _matching_request(snapshot, approval)
    if status.phase is Phase.FALLBACK:
        raise Refusal(RefusalReason.NOTHING_TO_DECIDE, "the deployment is in fallback; resume it first")
    gate = approval.spec.gate
    if status.phase is Phase.AWAITING_APPROVAL and request.state is RequestState.OPEN:
        if gate is not Gate.START:
            raise Refusal(RefusalReason.WRONG_GATE, f"request {request.number} waits at the gate Start")
        started = Candidate(revision=request.revision, digest=request.digest, started_at=now)
        return Transition(
            status.model_copy(
                update={
                    "phase": Phase.PREPARING,
                    "request": request.model_copy(update={"state": RequestState.APPROVED}),
                    "candidate": started,
                }
            ),
            (Note(type="Normal", reason=Reason.STARTED, message=f"{by} approved the start of revision {request.revision}"),),
        )
    if status.phase is Phase.AWAITING_PROMOTION and status.candidate is not None:
        if gate is not Gate.PROMOTE:
            raise Refusal(RefusalReason.WRONG_GATE, f"request {request.number} waits at the gate Promote")
        return Transition(
            status.model_copy(
                update={
                    "phase": Phase.PROMOTING,
                    "candidate": status.candidate.model_copy(update={"weight_intent": 10000}),
                }
            ),
            (
                Note(
                    type="Normal",
                    reason=Reason.PROMOTION_APPROVED,
                    message=f"{by} approved the promotion of revision {request.revision}",
                ),
            ),
        )
    if gate is Gate.PROMOTE and status.phase in lookup.BUSY:
        raise Refusal(
            RefusalReason.WRONG_GATE,
            f"revision {request.revision} is still being tried ({status.phase}); approve its promotion in the phase AwaitingPromotion",
        )
    raise Refusal(RefusalReason.NOTHING_TO_DECIDE, f"request {request.number} is {request.state}; there is nothing to approve")


def _reject(snapshot: Snapshot, approval: ApprovalView) -> Transition:
    status, by = snapshot.deployment.status, approval.spec.approver.username
    request = _matching_request(snapshot, approval)
    if status.phase in lookup.BUSY:
        return aborting(status, Reason.REJECTED, f"{by} rejected revision {request.revision}", RequestState.REJECTED)
    if request.state is not RequestState.OPEN:
        raise Refusal(RefusalReason.NOTHING_TO_DECIDE, f"request {request.number} is {request.state}; there is nothing to reject")
    message = f"{by} rejected revision {request.revision}"
    closed = request.model_copy(update={"state": RequestState.REJECTED, "reason": Reason.REJECTED, "message": message})
    phase = status.phase if status.phase is Phase.FALLBACK else lookup.settled_phase(status)
    return Transition(
        status.model_copy(update={"phase": phase, "request": closed}),
        (Note(type="Warning", reason=Reason.REJECTED, message=message),),
    )


def _abort(snapshot: Snapshot, approval: ApprovalView) -> Transition:
    status, by = snapshot.deployment.status, approval.spec.approver.username
    if status.phase is Phase.AWAITING_APPROVAL:
        return _reject(snapshot, approval)
    request = _matching_request(snapshot, approval)
    if status.phase in lookup.BUSY:
        return aborting(status, Reason.ABORTED_BY_PERSON, f"{by} aborted revision {request.revision}", RequestState.ABORTED)
    hint = "; it is promoted already: fall back instead" if request.state is RequestState.PROMOTED else ""
    raise Refusal(RefusalReason.NOTHING_TO_DECIDE, f"nothing is being tried (phase {status.phase}){hint}")


def aborting(status: ModelDeploymentStatus, reason: Reason, message: str, outcome: RequestState) -> Transition:
    """Take all traffic from the candidate; its pods stay until every gateway pod was seen without it."""
    candidate, request = status.candidate, status.request
    update: dict[str, object] = {"phase": Phase.ABORTING}
    if candidate is not None:
        update["candidate"] = candidate.model_copy(
            update={"weight_intent": 0, "failed": reason, "failed_message": message[:1024]}
        )
    if request is not None:
        update["request"] = request.model_copy(update={"state": outcome, "reason": reason, "message": message[:1024]})
    return Transition(status.model_copy(update=update), (Note(type="Warning", reason=reason, message=message),))


def _fall_back(snapshot: Snapshot, approval: ApprovalView, now: datetime) -> Transition:
    status, spec = snapshot.deployment.status, approval.spec
    wanted = spec.fallback_to
    kind = wanted.type if wanted is not None else FallbackTargetType.LAST_KNOWN_GOOD
    revision, external = _fallback_target(
        snapshot, kind, wanted.revision if wanted else None, wanted.external if wanted else None
    )
    target = f"revision {revision}" if revision is not None else f"external {external}"
    by = spec.approver.username
    update: dict[str, object] = {
        "phase": Phase.FALLBACK,
        "draining_since": None,
        "fallback": FallbackStatus(
            type=kind,
            revision=revision,
            external=external,
            since=now,
            by=by,
            reason=spec.reason or "",
            approval=approval.meta.key.name,
        ),
    }
    message = f"{by} sent all traffic to {target}"
    if status.candidate is not None:
        candidate = status.candidate.model_copy(
            update={"weight_intent": 0, "failed": Reason.FELL_BACK, "failed_message": message}
        )
        update["candidate"] = candidate if candidate.revision != revision else None
        if status.request is not None and status.request.state is RequestState.APPROVED:
            update["request"] = status.request.model_copy(
                update={"state": RequestState.ABORTED, "reason": Reason.FELL_BACK, "message": message}
            )
    return Transition(status.model_copy(update=update), (Note(type="Warning", reason=Reason.FELL_BACK, message=message),))


def _fallback_target(
    snapshot: Snapshot, kind: FallbackTargetType, number: int | None, name: str | None
) -> tuple[int | None, str | None]:
    status, spec = snapshot.deployment.status, snapshot.deployment.spec
    match kind:
        case FallbackTargetType.EXTERNAL:
            declared = [] if spec is None or spec.fallback is None else spec.fallback.external or []
            if all(entry.name != name for entry in declared):
                known = ", ".join(entry.name for entry in declared) or "none"
                raise Refusal(RefusalReason.NO_SUCH_FALLBACK, f"spec.fallback.external has no {name!r}; it has: {known}")
            return None, name
        case FallbackTargetType.REVISION:
            view = lookup.revision(snapshot, number or 0)
            if view is None or view.status.promoted_at is None:
                raise Refusal(
                    RefusalReason.NO_SUCH_FALLBACK,
                    f"revision {number} was never promoted; promoted so far: {_promoted(snapshot)}",
                )
            return number, None
        case FallbackTargetType.LAST_KNOWN_GOOD:
            good_role = last_known_good(status)
            if good_role is None:
                raise Refusal(
                    RefusalReason.NO_SUCH_FALLBACK,
                    "there is no last known good revision yet; name an entry of spec.fallback.external",
                )
            return good_role.revision, None


def _promoted(snapshot: Snapshot) -> str:
    numbers = sorted(view.spec.number for view in snapshot.revisions if view.status.promoted_at is not None)
    earlier = f" and {len(numbers) - _NAMED} earlier ones" if len(numbers) > _NAMED else ""
    return ", ".join(map(str, numbers[-_NAMED:])) + earlier or "none"


def last_known_good(status: ModelDeploymentStatus) -> RevisionRole | None:
    """Return the revision to go back to: the stable one while a candidate is tried, else the one before the stable one."""
    if status.phase is Phase.FALLBACK and status.fallback is not None and status.fallback.revision is not None:
        roles = (status.stable, status.last_known_good)
        return next(
            (role for role in roles if role is not None and role.revision == status.fallback.revision), status.last_known_good
        )
    if status.candidate is not None and status.stable is not None:
        return status.stable
    return status.last_known_good


def _resume(snapshot: Snapshot, approval: ApprovalView, now: datetime) -> Transition | WriteRevisionStatus:
    status, by = snapshot.deployment.status, approval.spec.approver.username
    if status.phase is Phase.FALLBACK and status.fallback is not None:
        if approval.meta.created < status.fallback.since.replace(microsecond=0):
            raise Refusal(RefusalReason.OTHER_REQUEST, "it is older than the fallback that is in force; decide again")
        if status.request is not None:
            _matching_request(snapshot, approval)
        return _leave_fallback(snapshot, status.fallback, by, now)
    request = _matching_request(snapshot, approval)
    if status.phase is Phase.ABORTING:
        raise Refusal(
            RefusalReason.NOTHING_TO_DECIDE,
            f"revision {request.revision} is still being withdrawn; ask again for it in the phase {Phase.ABORTED}",
        )
    if status.phase is Phase.ABORTED or request.state is RequestState.REJECTED:
        number = lookup.highest_request(snapshot) + 1
        again = Request(
            number=number,
            digest=request.digest,
            revision=request.revision,
            base=status.stable.digest if status.stable is not None else None,
            state=RequestState.OPEN,
        )
        return Transition(
            status.model_copy(update={"phase": Phase.AWAITING_APPROVAL, "request": again}),
            (
                Note(
                    type="Normal",
                    reason=Reason.RETRIED,
                    message=f"{by} asked again for revision {request.revision}: request {number}",
                ),
            ),
        )
    raise Refusal(RefusalReason.NOTHING_TO_DECIDE, f"there is nothing to resume in the phase {status.phase}")


def _leave_fallback(snapshot: Snapshot, fallback: FallbackStatus, by: str, now: datetime) -> Transition | WriteRevisionStatus:
    """Return to the stable revision, or make the fallback stable when it is what the owner now declares."""
    status, desired = snapshot.deployment.status, current_desired(snapshot)
    stable = status.stable
    update: dict[str, object] = {"fallback": None}
    declared_again = desired is not None and fallback.revision == desired.revision
    if declared_again and desired is not None and stable is not None and stable.revision != desired.revision:
        view = lookup.revision(snapshot, desired.revision)
        told = history.promoted(view, now, since=fallback.since) if view is not None else None
        if told is not None:
            return told
        update["last_known_good"] = stable
        stable = RevisionRole(revision=desired.revision, digest=desired.digest, approved_by=by)
        update["stable"] = stable
    if status.candidate is not None:
        update["phase"] = Phase.ABORTING
    else:
        update["phase"] = Phase.STABLE if stable is not None else Phase.PENDING
    if status.request is not None and status.request.state is RequestState.OPEN:
        update["request"] = status.request.model_copy(update={"state": RequestState.WITHDRAWN, "reason": Reason.RESUMED})
    target = f"revision {stable.revision}" if stable is not None else "nothing"
    return Transition(
        status.model_copy(update=update),
        (Note(type="Normal", reason=Reason.RESUMED, message=f"{by} ended the fallback; traffic returns to {target}"),),
    )
