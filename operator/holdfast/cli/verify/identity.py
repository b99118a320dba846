"""Is each revision what its digest says, and did somebody approve exactly that?"""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from holdfast.api.approval import ModelApprovalSpec
from holdfast.api.decision import Decision, DecisionType, Gate
from holdfast.api.names import revision_name
from holdfast.api.revision import ModelRevisionSpec
from holdfast.cli import objects, words
from holdfast.cli.cluster import Cluster
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.objects import Deployment, Revision
from holdfast.cli.verify.finding import Check, DifferenceError, Verified
from holdfast.domain.pin import pin_digest, short_digest

Object = dict[str, Any]


def roles(deployment: Deployment) -> dict[int, str]:
    """Return the digest of every revision that may have pods, by number, as the status says it."""
    status = deployment.status
    held = (status.stable, status.candidate, status.last_known_good)
    return {role.revision: role.digest for role in reversed(held) if role is not None}


def check(cluster: Cluster, deployment: Deployment, found: dict[int, Revision]) -> Iterator[Verified]:
    """Check every revision that has a role, and put it into `found` by its number.

    Raises:
        DifferenceError: a revision is not what its digest says, another one than the status says, or nobody approved it.
    """
    for number, digest in sorted(roles(deployment).items()):
        name = revision_name(deployment.name, number)
        about = f"ModelRevision {name}"
        raw = _get(cluster, name, about)
        _recompute(raw, about)
        revision = objects.revision(raw)
        if digest != revision.spec.digest:
            raise _difference(about, f"its digest is {revision.spec.digest}, and the status of the deployment says {digest}")
        if (revision.spec.deployment, revision.spec.number) != (deployment.name, number):
            raise _difference(about, f"it says that it is revision {revision.spec.number} of {revision.spec.deployment}")
        started = _start(revision, about)
        record = _approval(cluster, started, revision, about)
        found[number] = revision
        message = (
            f"{short_digest(digest)} is what it holds; {started.by} approved its start on {words.moment(started.at)}{record}"
        )
        yield Verified(check=Check.IDENTITY, about=about, message=message)
    stable = deployment.status.stable
    if stable is not None and found[stable.revision].status.promoted_at is None:
        about = f"ModelRevision {revision_name(deployment.name, stable.revision)}"
        raise _difference(about, "it is the stable revision, and was never promoted")


def _recompute(raw: Object, about: str) -> None:
    try:
        spec = ModelRevisionSpec.parse(raw.get("spec"))
    except ValidationError:
        return  # what this version cannot read is said where it is read
    computed = pin_digest(spec.model)
    if computed != spec.digest:
        raise _difference(about, f"it holds {computed}, and is labelled {spec.digest}")


def _get(cluster: Cluster, name: str, about: str) -> Object:
    try:
        return cluster.revision(name)
    except CommandError as error:
        if error.code is ExitCode.NOT_FOUND:
            raise _difference(about, "it is gone, and the deployment's status names it") from error
        raise


def _start(revision: Revision, about: str) -> Decision:
    starts = [
        decision
        for decision in revision.status.decisions or ()
        if (decision.decision, decision.gate) == (DecisionType.APPROVE, Gate.START)
    ]
    if not starts:
        raise _difference(about, "it has a role, and no record of anybody who approved its start")
    return starts[-1]


def _approval(cluster: Cluster, decision: Decision, revision: Revision, about: str) -> str:
    """Compare the record with the ModelApproval that it was copied from, if that still exists."""
    raw = cluster.approval(decision.approval)
    if raw is None or raw["metadata"]["uid"] != decision.uid:
        return ""
    name = decision.approval
    said = ModelApprovalSpec.model_validate(raw["spec"], extra="ignore")
    if said.target.digest != revision.spec.digest:
        raise _difference(about, f"ModelApproval {name}, recorded as its approval, is about {said.target.digest}")
    if said.approver.username != decision.by:
        raise _difference(about, f"ModelApproval {name} was made by {said.approver.username}, and is recorded as {decision.by}'s")
    return f" with {name}"


def _difference(about: str, message: str) -> DifferenceError:
    return DifferenceError(Check.IDENTITY, about, message)
