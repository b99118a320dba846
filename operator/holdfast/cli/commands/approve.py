"""``holdfast approve``."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, NoWait, OutputForm, Reason, Timeout, Verbose, Yes
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output, Terminal

if TYPE_CHECKING:
    from datetime import datetime

    from holdfast.api.decision import Gate
    from holdfast.cli.cluster import Cluster
    from holdfast.cli.objects import Deployment, Revision
    from holdfast.cli.session import Session

_TYPED: Final = 6
"""How many last characters of the digest are typed."""
_DECISIONS_SHOWN: Final = 5


class GateOption(StrEnum):
    """Which gate to open."""

    AUTO = "auto"
    START = "Start"
    PROMOTE = "Promote"


EXAMPLES: Final = (
    'holdfast approve support-chat --reason "eval report 118"',
    "holdfast approve support-chat --gate Promote --yes",
)


def approve(
    ctx: typer.Context,
    name: Name,
    gate: Annotated[
        GateOption, typer.Option("--gate", help="The gate to open; auto takes the one that waits.")
    ] = GateOption.AUTO,
    reason: Reason = None,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = 60,
    output: OutputForm = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Let a proposed revision start, or promote it.

    Shows what changes and what was seen so far, then asks for the last characters of the digest. The approval holds for this
    digest, this base and this request, once.
    """
    from holdfast.api.decision import DecisionType
    from holdfast.cli import objects
    from holdfast.cli.decisions import Answering, Wish, about, decide

    session = session_of(ctx, verbose=verbose)
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        found = objects.deployment(cluster.deployment(name))
        opened = _gate(found, gate)
        target = about(found)
        new = _review(session, cluster, found, opened, asked=not yes, output=output)
        if not yes:
            _ask(session, new.spec.digest, opened)
        wish = Wish(decision=DecisionType.APPROVE, gate=opened, target=target, reason=reason)
        decide(session, cluster, wish, Answering(wait=not no_wait, timeout=timeout, output=output))
        if output is Output.TEXT:
            session.terminal.line(f"follow it: {session.program} status {name} -n {cluster.namespace} --watch")


def _gate(found: "Deployment", wanted: GateOption) -> "Gate":
    """Return the gate to open: the one that was named, else the one at which the request waits."""
    from holdfast.api.decision import Gate
    from holdfast.api.reasons import Phase
    from holdfast.cli.decisions import open_request

    if wanted is not GateOption.AUTO:
        return Gate(wanted.value)
    request = open_request(found)
    waiting = {Phase.AWAITING_APPROVAL: Gate.START, Phase.AWAITING_PROMOTION: Gate.PROMOTE}
    if found.status.phase not in waiting:
        raise CommandError(
            f"{found.name} waits for no approval: the phase is {found.status.phase} and request {request.number} is {request.state}"
        )
    return waiting[found.status.phase]


def _review(
    session: "Session", cluster: "Cluster", found: "Deployment", gate: "Gate", *, asked: bool, output: Output
) -> "Revision":
    """Fetch what would be approved and show it, on stderr if stdout is for data; without a reader only fetch and check it."""
    from holdfast.cli import comparison, objects
    from holdfast.cli.decisions import open_request

    request, stable = open_request(found), found.status.stable
    new = objects.revision_of(cluster, found.name, request.revision, request.digest)
    old = objects.revision_of(cluster, found.name, stable.revision, stable.digest) if stable else None
    if not asked and output is not Output.TEXT:
        return new
    page = session.terminal if output is Output.TEXT else session.terminal.aside()
    page.line(f"{found.name} in {found.namespace}: request {request.number}, gate {gate}", style="bold")
    comparison.show(page, comparison.compare(old, new))
    page.line()
    _evidence(page, found, new, session.now())
    page.line()
    return new


def _evidence(page: Terminal, found: "Deployment", new: "Revision", now: "datetime") -> None:
    """Print what was seen of the revision so far, and what was not measured."""
    from holdfast.api.reasons import ConditionType
    from holdfast.cli import words

    page.line("Seen so far", style="bold")
    candidate = found.status.candidate
    rows: list[tuple[str, str]] = []
    if candidate is None or candidate.revision != new.spec.number:
        rows.append(("tried", "no: it has not run yet"))
    else:
        rows.append(("started", f"{words.moment(candidate.started_at)} ({words.span(now - candidate.started_at)} ago)"))
        ready = candidate.ready_at
        rows.append(("ready", f"{words.moment(ready)} ({words.span(now - ready)} ago)" if ready else "not yet"))
        rows.append(("traffic", f"{words.weight(candidate.weight_observed)} seen by every gateway pod"))
        if candidate.unready_since:
            rows.append(("trouble", f"no ready pod since {words.moment(candidate.unready_since)}"))
    rows += [
        (str(condition.type), f"{condition.status} ({condition.reason}): {condition.message}")
        for condition in found.status.conditions or []
        if condition.type in (ConditionType.READY, ConditionType.PINNED)
    ]
    rows += [
        ("decided", f"{words.moment(made.at)} {words.decision(made)} by {made.by}{_why(made.reason)}")
        for made in (new.status.decisions or [])[-_DECISIONS_SHOWN:]
    ]
    page.pairs(rows, indent=2)


def _why(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _ask(session: "Session", digest: str, gate: "Gate") -> None:
    typed = session.terminal.ask(
        f"To approve {gate} of\n  {digest}\ntype the last {_TYPED} characters of the digest: ", "read the diff, then give --yes"
    )
    if typed.lower() != digest[-_TYPED:]:
        raise CommandError("that is not how the digest ends; nothing was done", ExitCode.FAILED)
