"""From a declared model to an open request: resolve, snapshot as a revision, ask the owner.

Nothing here starts a pod. A spec that goes back to what serves withdraws the request, however broken the proposal was.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from holdfast.api.decision import DecisionType
from holdfast.api.deployment import Desired, ModelDeploymentStatus, Request, RequestState, RevisionRole
from holdfast.api.reasons import Phase, Reason
from holdfast.api.revision import ModelRevisionSpec, Render
from holdfast.domain import lookup
from holdfast.domain.lookup import Transition
from holdfast.domain.pin import declared_digest, pin_digest
from holdfast.domain.plan import CreateRevision, Note
from holdfast.domain.snapshot import ResolutionFailed, Resolved, RevisionView, Snapshot


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The declared model is not resolved; `ask` tells whether to ask the Hub now."""

    ask: bool
    retry_at: datetime | None = None


def declared(snapshot: Snapshot) -> str | None:
    """Return the digest of the declared model, None when the spec could not be read."""
    spec = snapshot.deployment.spec
    return declared_digest(spec.model) if spec is not None else None


def current_desired(snapshot: Snapshot) -> Desired | None:
    """Return the resolved identity of what is declared now, None while it is not resolved."""
    desired = snapshot.deployment.status.desired
    return desired if desired is not None and desired.declared == declared(snapshot) else None


def resolve(snapshot: Snapshot, now: datetime) -> Desired | CreateRevision | Unresolved:
    """Find the revision of the declared model, or say what to do to get one."""
    wanted = declared(snapshot)
    if wanted is None:
        return Unresolved(ask=False)
    known = current_desired(snapshot)
    if known is not None:
        return known
    by_declaration = _latest(view for view in snapshot.revisions if view.spec.declared == wanted)
    if by_declaration is not None:
        return _desired(wanted, by_declaration)
    resolution = snapshot.resolution
    if isinstance(resolution, ResolutionFailed) and resolution.declared == wanted:
        return Unresolved(ask=now >= resolution.retry_at, retry_at=resolution.retry_at)
    if not isinstance(resolution, Resolved) or resolution.declared != wanted:
        return Unresolved(ask=True)
    digest = pin_digest(resolution.model)
    by_digest = _latest(view for view in snapshot.revisions if view.spec.digest == digest)
    if by_digest is not None:
        return _desired(wanted, by_digest)
    return CreateRevision(
        spec=ModelRevisionSpec(
            deployment=snapshot.deployment.meta.key.name,
            number=max((view.spec.number for view in snapshot.revisions), default=0) + 1,
            digest=digest,
            declared=wanted,
            model=resolution.model,
            render=Render(version=snapshot.settings.render_version, weights_image=snapshot.settings.weights_image),
            recorded=resolution.recorded,
        )
    )


def _latest(views: Iterable[RevisionView]) -> RevisionView | None:
    return max(views, key=lambda view: view.spec.number, default=None)


def _desired(wanted: str, view: RevisionView) -> Desired:
    return Desired(declared=wanted, digest=view.spec.digest, revision=view.spec.number)


def restore(snapshot: Snapshot, desired: Desired) -> Transition | None:
    """Take up a deployment whose status was lost, if what it declares is what a person promoted last.

    A re-created object with the same model serves again without a new approval; any other model waits for its owner. So does one
    that was in fallback: nothing but a person ends that.
    """
    status = snapshot.deployment.status
    if status.stable is not None or status.request is not None or status.candidate is not None or status.fallback is not None:
        return None
    promoted = [view for view in snapshot.revisions if view.status.promoted_at is not None]
    last = max(promoted, key=lambda view: (view.status.promoted_at, view.spec.number), default=None)
    if last is None or last.spec.digest != desired.digest or _in_fallback(snapshot):
        return None
    role = RevisionRole(revision=last.spec.number, digest=last.spec.digest, approved_by=_approver(last))
    return Transition(
        status.model_copy(update={"desired": desired, "stable": role, "phase": Phase.STABLE}),
        (Note(type="Normal", reason=Reason.RESTORED, message=f"revision {role.revision} serves again; it was promoted before"),),
    )


def _in_fallback(snapshot: Snapshot) -> bool:
    taken = (decision for view in snapshot.revisions for decision in view.status.decisions or [])
    latest = max(taken, key=lambda decision: decision.at, default=None)
    return latest is not None and latest.decision is DecisionType.FALLBACK


def _approver(view: RevisionView) -> str | None:
    return next((d.by for d in reversed(view.status.decisions or []) if d.gate is not None), None)


def propose(snapshot: Snapshot) -> Transition | None:
    """Open, replace or withdraw the request when what is declared and what serves differ, or no longer do."""
    status = snapshot.deployment.status
    desired = current_desired(snapshot)
    if desired is None or status.phase not in (None, Phase.PENDING, Phase.STABLE, Phase.AWAITING_APPROVAL, Phase.ABORTED):
        return None
    request, stable = status.request, status.stable
    if stable is not None and desired.digest == stable.digest:
        return _withdraw(status)
    if request is not None and request.digest == desired.digest:
        base = stable.digest if stable is not None else None
        waiting = status.phase is Phase.AWAITING_APPROVAL and request.state is RequestState.OPEN and request.base == base
        if waiting or status.phase is Phase.ABORTED or request.state is RequestState.REJECTED:
            return None
    number = lookup.highest_request(snapshot) + 1
    asked = Request(
        number=number,
        digest=desired.digest,
        revision=desired.revision,
        base=stable.digest if stable is not None else None,
        state=RequestState.OPEN,
    )
    message = f"revision {desired.revision} waits for its owner: request {number}"
    return Transition(
        status.model_copy(update={"phase": Phase.AWAITING_APPROVAL, "request": asked}),
        (Note(type="Normal", reason=Reason.PROPOSED, message=message),),
    )


def _withdraw(status: ModelDeploymentStatus) -> Transition | None:
    request = status.request
    open_states = (RequestState.OPEN, RequestState.REJECTED)
    if request is not None and request.state in open_states:
        message = f"request {request.number} is withdrawn: what is declared serves already"
        closed = request.model_copy(update={"state": RequestState.WITHDRAWN, "reason": Reason.WITHDRAWN, "message": message})
        return Transition(
            status.model_copy(update={"phase": Phase.STABLE, "request": closed}),
            (Note(type="Normal", reason=Reason.WITHDRAWN, message=message),),
        )
    if status.phase is not Phase.STABLE:
        return Transition(status.model_copy(update={"phase": Phase.STABLE}))
    return None
