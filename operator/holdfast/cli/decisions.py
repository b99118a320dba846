"""Making a decision: a ModelApproval in the caller's own name, and the operator's answer to it."""

from dataclasses import dataclass
from typing import Any

from holdfast.api.approval import ApprovalState, Approver, ModelApprovalSpec, ModelApprovalStatus, Target
from holdfast.api.decision import DecisionType, FallbackTo, Gate
from holdfast.api.deployment import Request
from holdfast.api.reasons import Phase
from holdfast.cli.cluster import APPROVALS, Cluster
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.objects import Deployment, approval_status
from holdfast.cli.session import Session
from holdfast.cli.terminal import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person decides, before it has their name on it."""

    decision: DecisionType
    target: Target
    gate: Gate | None = None
    fallback_to: FallbackTo | None = None
    reason: str | None = None

    @property
    def generate_name(self) -> str:
        """Beginning of the object's name: ``support-chat-2-start-``."""
        number = f"-{self.target.request}" if self.target.request is not None else ""
        return f"{self.target.name}{number}-{self.gate or self.decision}-".lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How the answer is awaited and printed."""

    wait: bool
    timeout: int
    output: Output


def open_request(found: Deployment) -> Request:
    """Return the request that a decision would be about.

    Raises:
        CommandError: there is none.
    """
    request = found.status.request
    if request is None:
        where = f"the phase is {found.status.phase}" if found.status.phase else "the operator has not looked at it yet"
        raise CommandError(f"{found.name} has no request to decide on: {where}")
    return request


def about(found: Deployment) -> Target:
    """Return the target that binds a decision to the request that was read, and to nothing else.

    Raises:
        CommandError: there is no request.
    """
    status = found.status
    if status.request is None and status.phase is Phase.FALLBACK and status.stable is not None:
        # Taken up again from history after its object was re-created: it never had a request, and Resume compares none.
        return Target(name=found.name, digest=status.stable.digest, request=1)
    request = open_request(found)
    return Target(name=found.name, digest=request.digest, base=request.base, request=request.number)


def decide(session: Session, cluster: Cluster, wish: Wish, answering: Answering) -> dict[str, Any]:
    """Create the ModelApproval, wait for the operator's answer, print it, and return the object as it was seen last.

    Raises:
        CommandError: it could not be created, was refused, or was not answered in time.
    """
    spec = ModelApprovalSpec(
        decision=wish.decision,
        gate=wish.gate,
        target=wish.target,
        fallback_to=wish.fallback_to,
        approver=Approver(username=cluster.username()),
        reason=wish.reason,
    )
    created = cluster.create_approval(wish.generate_name, spec.wire())
    name = created["metadata"]["name"]
    if not answering.wait:
        _print(session, answering.output, name, ModelApprovalStatus(), f"made: {name}; the operator has not answered yet")
        return created
    try:
        settled, status = _answer(session, cluster, name, answering.timeout)
    except (KeyboardInterrupt, CommandError):
        look = f"kubectl -n {cluster.namespace} get {APPROVALS}.holdfast.dev {name}"
        session.terminal.note(f"{name} is made; see what becomes of it: {look}")
        raise
    if status.state is ApprovalState.REFUSED:
        if answering.output is not Output.TEXT:
            _print(session, answering.output, name, status, "")
        raise CommandError(f"refused ({status.reason}): {status.message}")
    _print(session, answering.output, name, status, f"accepted: {name}")
    return settled


def _answer(session: Session, cluster: Cluster, name: str, timeout: int) -> tuple[dict[str, Any], ModelApprovalStatus]:
    """Wait until the operator settled the ModelApproval."""
    until = session.monotonic() + timeout
    with session.terminal.progress(f"waiting for the operator's answer to {name}"):
        for change in cluster.changes(APPROVALS, name=name, until=until, lost=session.terminal.note):
            if change.gone:
                raise CommandError(f"{name} was deleted before the operator answered; nothing was decided")
            status = approval_status(change.object)
            if status.state in (ApprovalState.ACCEPTED, ApprovalState.REFUSED):
                return change.object, status
    raise CommandError(
        f"the operator did not answer {name} within {timeout} s; the decision stays and is judged when the operator is back. "
        f"Look at the operator's pods, or withdraw it: kubectl -n {cluster.namespace} delete {APPROVALS}.holdfast.dev {name}",
        ExitCode.TIMED_OUT,
    )


def _print(session: Session, output: Output, name: str, status: ModelApprovalStatus, text: str) -> None:
    if output is Output.TEXT:
        session.terminal.line(text, style="green" if status.state else "")
        return
    session.terminal.data({"approval": name, "state": ApprovalState.PENDING.value, **status.wire()}, output)


def confirm(session: Session, question: str, *, yes: bool) -> None:
    """Ask for a plain yes.

    Raises:
        CommandError: the person did not say yes, or there is nobody to ask.
    """
    if yes:
        return
    if session.terminal.ask(f"{question} [y/N] ", "give --yes").lower() not in ("y", "yes"):
        raise CommandError("not confirmed; nothing was done")
