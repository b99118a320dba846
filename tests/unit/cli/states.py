"""Deployments in the states that a person meets, in the stand-in of the API server."""

from datetime import timedelta
from typing import Any

import builders
from holdfast.api.decision import FallbackTargetType
from holdfast.api.deployment import (
    Candidate,
    Condition,
    FallbackStatus,
    ModelDeploymentStatus,
    Request,
    RequestState,
    RevisionRole,
)
from holdfast.api.reasons import ConditionType, Phase, Reason
from unit.cli.api_stand_in import ApiStandIn, Object
from unit.cli.conftest import NOW, deployed, revised

NAME = builders.NAME


def proposed_first(api: ApiStandIn, **changes: Any) -> str:
    """Nothing serves, the first revision waits for its start. Returns its digest."""
    digest = revised(api, 1, "a", **changes)
    request = Request(number=1, digest=digest, revision=1, state=RequestState.OPEN)
    deployed(api, ModelDeploymentStatus(phase=Phase.AWAITING_APPROVAL, request=request, message="revision 1 waits for its owner"))
    return digest


def proposed_second(api: ApiStandIn, **changes: Any) -> tuple[str, str]:
    """Revision 1 serves, revision 2 waits for its start. Returns both digests."""
    old, new = revised(api, 1, "a"), revised(api, 2, "b", **changes)
    deployed(
        api,
        ModelDeploymentStatus(
            phase=Phase.AWAITING_APPROVAL,
            message="revision 2 waits for its owner: request 2",
            stable=RevisionRole(revision=1, digest=old, approved_by="alice@example.com"),
            request=Request(number=2, digest=new, base=old, revision=2, state=RequestState.OPEN),
            conditions=[_condition(ConditionType.READY, Reason.SERVING, "1 of 1 pods of revision 1 serve")],
        ),
    )
    return old, new


def tried(api: ApiStandIn, *, phase: Phase = Phase.AWAITING_PROMOTION) -> tuple[str, str]:
    """Revision 1 serves, revision 2 has half of the users. Returns both digests."""
    decision = {
        "approval": "support-chat-2-start-x",
        "uid": "u-1",
        "revision": 2,
        "decision": "Approve",
        "gate": "Start",
        "request": 2,
        "by": "alice@example.com",
        "reason": "eval report 118",
        "at": "2026-11-21T10:00:00Z",
    }
    old, new = revised(api, 1, "a"), revised(api, 2, "b", status={"decisions": [decision]})
    deployed(
        api,
        ModelDeploymentStatus(
            phase=phase,
            message="revision 2 held every step; it waits for its owner",
            stable=RevisionRole(revision=1, digest=old, approved_by="alice@example.com"),
            request=Request(number=2, digest=new, base=old, revision=2, state=RequestState.APPROVED),
            candidate=Candidate(
                revision=2,
                digest=new,
                started_at=NOW - timedelta(hours=2),
                ready_at=NOW - timedelta(minutes=110),
                step=2,
                step_entered_at=NOW - timedelta(minutes=61),
                weight_intent=5000,
                weight_observed=5000,
            ),
        ),
    )
    return old, new


def stable(api: ApiStandIn) -> tuple[str, str]:
    """Revision 2 serves, revision 1 is the last known good. Returns both digests."""
    old, new = revised(api, 1, "a"), revised(api, 2, "b")
    deployed(
        api,
        ModelDeploymentStatus(
            phase=Phase.STABLE,
            stable=RevisionRole(revision=2, digest=new, approved_by="alice@example.com"),
            last_known_good=RevisionRole(revision=1, digest=old, approved_by="bob@example.com"),
            request=Request(number=2, digest=new, base=old, revision=2, state=RequestState.PROMOTED),
        ),
    )
    return old, new


def moved_upstream(api: ApiStandIn) -> None:
    """Revision 1 serves, and its branch moved on."""
    digest = revised(api, 1, "a")
    deployed(
        api,
        ModelDeploymentStatus(
            phase=Phase.STABLE,
            stable=RevisionRole(revision=1, digest=digest, approved_by="alice@example.com"),
            conditions=[_condition(ConditionType.UPSTREAM_MOVED, Reason.UPSTREAM_MOVED, "branch main is at ffffffffffff")],
        ),
    )


def fallen_back(api: ApiStandIn) -> str:
    """Revision 1 is stable, and all traffic goes to an external. It never had a request. Returns its digest."""
    digest = revised(api, 1, "a")
    deployed(
        api,
        ModelDeploymentStatus(
            phase=Phase.FALLBACK,
            stable=RevisionRole(revision=1, digest=digest, approved_by="alice"),
            fallback=FallbackStatus(
                type=FallbackTargetType.EXTERNAL,
                external="general-api",
                since=NOW - timedelta(minutes=1),
                by="bob",
                reason="incident 7",
                approval="support-chat-fallback-x",
                observed=True,
            ),
        ),
    )
    return digest


def accepts(api: ApiStandIn) -> None:
    """Play an operator that accepts every decision."""
    api.on_create = lambda item: api.set_status("modelapprovals", item["metadata"]["name"], {"state": "Accepted"})


def refuses(api: ApiStandIn, reason: str, message: str) -> None:
    """Play an operator that refuses every decision."""
    status = {"state": "Refused", "reason": reason, "message": message}
    api.on_create = lambda item: api.set_status("modelapprovals", item["metadata"]["name"], status)


def made(api: ApiStandIn) -> Object:
    """Return the spec of the only decision that was made."""
    (item,) = api.approvals()
    spec: Object = item["spec"]
    return spec


def _condition(kind: ConditionType, reason: Reason, message: str) -> Condition:
    return Condition(
        type=kind,
        status="True",
        reason=reason,
        message=message,
        last_transition_time=NOW - timedelta(days=1),
        observed_generation=1,
    )
