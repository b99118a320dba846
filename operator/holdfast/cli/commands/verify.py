"""``holdfast verify``."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, OutputForm, Verbose
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.cli.cluster import Cluster
    from holdfast.cli.session import Session
    from holdfast.cli.verify.finding import Verified


EXAMPLES: Final = (
    "holdfast verify support-chat",
    "holdfast verify support-chat --no-bytes",
    "holdfast verify support-chat -o json",
)


def verify(
    ctx: typer.Context,
    name: Name,
    no_bytes: Annotated[
        bool, typer.Option("--no-bytes", help="Ask no pod: leave out what engines report and what the bytes are.")
    ] = False,
    timeout: Annotated[
        int, typer.Option("--timeout", metavar="SECONDS", min=1, max=86_400, help="Seconds for all pods to hash their bytes.")
    ] = 3600,
    output: OutputForm = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Check that what runs is what was approved, link by link.

    The digest of each revision is computed anew and compared with the decision that approved it; every object with what Holdfast
    renders; every pod with its template, its image and what its weights containers said. Then every pod is asked what its engine
    reports, and hashes every byte that the engine sees, behind its other work: for that the ModelDeployment is annotated for as
    long as it takes, which the role edit allows. It ends at the first difference, with exit status 1.
    """
    from holdfast.cli.verify.finding import DifferenceError

    session = session_of(ctx, verbose=verbose)
    terminal = session.terminal
    done: list[Verified] = []
    difference: DifferenceError | None = None
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        try:
            for verified in _checks(session, cluster, name, None if no_bytes else timeout):
                done.append(verified)
                if output is Output.TEXT:
                    terminal.line(f"{verified.check:<9} {verified.about}: {verified.message}")
        except DifferenceError as found:
            difference = found
    if output is not Output.TEXT:
        terminal.data(_data(name, done, difference), output)
    if difference is not None:
        raise CommandError(f"{difference}", ExitCode.FAILED) from difference
    if output is Output.TEXT:
        terminal.line(f"verified: what runs of {name} is what was approved", style="bold")


def _checks(session: "Session", cluster: "Cluster", name: str, timeout: int | None) -> "Iterator[Verified]":
    from holdfast.cli import objects
    from holdfast.cli.verify import identity, pods, rendered, replies, views

    raw = cluster.deployment(name)
    found = objects.deployment(raw)
    if not identity.roles(found):
        told = f"nothing of {name} is approved, so nothing runs: {found.status.message or 'the operator has not looked at it'}"
        raise CommandError(told, ExitCode.NOT_FOUND)
    revisions: dict[int, objects.Revision] = {}
    yield from identity.check(cluster, found, revisions)
    deployment = views.deployment(found, raw)
    by_number = {number: views.revision(deployment, revision) for number, revision in revisions.items()}
    engines = rendered.engines(cluster, deployment)
    yield from rendered.check(cluster, deployment, by_number, engines)
    running: list[dict[str, Any]] = []
    yield from pods.check(cluster, deployment, by_number, engines, running)
    if timeout is None:
        return
    word = f"{session.now():%Y%m%dT%H%M%SZ}-{session.unique(4)}"
    with session.terminal.progress(f"waiting for the pods of {name} to hash their bytes"):
        yield from replies.ask(cluster, name, running, word, timeout=timeout, monotonic=session.monotonic, sleep=session.sleep)


def _data(name: str, done: "list[Verified]", difference: Any) -> dict[str, Any]:
    return {
        "name": name,
        "verified": difference is None,
        "difference": difference.wire() if difference is not None else None,
        "checks": [each.wire() for each in done],
    }
