"""``holdfast fallback``: the way out, at every moment."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, NoWait, OutputForm, Reason, Timeout, Verbose, Yes
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

if TYPE_CHECKING:
    from holdfast.api.decision import FallbackTo
    from holdfast.cli.cluster import Cluster
    from holdfast.cli.objects import Deployment
    from holdfast.cli.session import Session

_LAST_KNOWN_GOOD = "last-known-good"


def _check_target(value: str) -> str:
    if not re.fullmatch(rf"{_LAST_KNOWN_GOOD}|[1-9][0-9]{{0,8}}|external/[a-z]([a-z0-9-]{{0,38}}[a-z0-9])?", value):
        raise typer.BadParameter(f"{value!r} is none of {_LAST_KNOWN_GOOD}, the number of a revision, external/NAME")
    return value


To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="TARGET",
        callback=_check_target,
        help="last-known-good, the number of a revision that was once promoted, or external/NAME of spec.fallback.external.",
    ),
]


EXAMPLES: Final = (
    "holdfast fallback support-chat --yes --wait",
    'holdfast fallback support-chat --to 3 --reason "incident 7"',
    "holdfast fallback support-chat --to external/general-api",
)


def fallback(
    ctx: typer.Context,
    name: Name,
    to: To = _LAST_KNOWN_GOOD,
    reason: Reason = None,
    yes: Yes = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every gateway pod sends the traffic there; print how long it took.")
    ] = False,
    no_wait: NoWait = False,
    timeout: Timeout = 60,
    output: OutputForm = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Send all traffic elsewhere at once.

    Works in any phase, and with a broken candidate. Nothing but a person takes it back: holdfast resume.
    """
    from holdfast.api.approval import Target
    from holdfast.api.decision import DecisionType
    from holdfast.cli.decisions import Answering, Wish, confirm, decide

    session = session_of(ctx, verbose=verbose)
    if wait and no_wait:
        raise typer.BadParameter("--wait and --no-wait exclude each other")
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        found = _readable(cluster.deployment(name))
        confirm(session, f"Send all traffic of {name} to {_destination(found, to)}?", yes=yes)
        wish = Wish(decision=DecisionType.FALLBACK, target=Target(name=name), fallback_to=_fallback_to(to), reason=reason)
        began = session.monotonic()
        made = decide(session, cluster, wish, Answering(wait=not no_wait, timeout=timeout, output=output))
        if wait:
            seen = _wait(session, cluster, name, made["metadata"]["name"], began, timeout)
            (session.terminal.line if output is Output.TEXT else session.terminal.note)(seen)


def _readable(raw: dict[str, Any]) -> "Deployment | None":
    """Read the deployment for the question's sake: what cannot be read must not keep anybody from falling back."""
    from holdfast.cli import objects

    try:
        return objects.deployment(raw)
    except CommandError:
        return None


def _destination(found: "Deployment | None", to: str) -> str:
    from holdfast.cli import words
    from holdfast.domain.approvals import last_known_good

    if to != _LAST_KNOWN_GOOD:
        return f"revision {to}" if to.isdigit() else to
    good = last_known_good(found.status) if found else None
    return f"the last known good: {words.role(good)}" if good else "the last known good revision"


def _fallback_to(to: str) -> "FallbackTo":
    from holdfast.api.decision import FallbackTargetType, FallbackTo

    if to == _LAST_KNOWN_GOOD:
        return FallbackTo(type=FallbackTargetType.LAST_KNOWN_GOOD)
    if to.isdigit():
        return FallbackTo(type=FallbackTargetType.REVISION, revision=int(to))
    return FallbackTo(type=FallbackTargetType.EXTERNAL, external=to.removeprefix("external/"))


def _wait(session: "Session", cluster: "Cluster", name: str, approval: str, began: float, timeout: int) -> str:
    """Wait until status says that every gateway pod reported the fallback, and say how long that took."""
    from holdfast.cli import objects, words
    from holdfast.cli.cluster import DEPLOYMENTS

    until = began + timeout
    with session.terminal.progress("waiting for every gateway pod"):
        for change in cluster.changes(DEPLOYMENTS, name=name, until=until, lost=session.terminal.note):
            if change.gone:
                raise CommandError(f"the ModelDeployment {name} was deleted", ExitCode.NOT_FOUND)
            status = objects.deployment(change.object).status
            if status.fallback is None or status.fallback.approval != approval:
                continue
            if status.fallback.observed:
                where = words.target(status.fallback.type, status.fallback.revision, status.fallback.external)
                took = session.monotonic() - began
                return f"every gateway pod sends all traffic to {where}, {took:.2f} s after the decision was made"
    raise CommandError(
        f"the fallback is accepted, but not every gateway pod reported it within {timeout} s; look: "
        f"{session.program} status {name} -n {cluster.namespace}",
        ExitCode.TIMED_OUT,
    )
