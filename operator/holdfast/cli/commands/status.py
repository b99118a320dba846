"""``holdfast status``."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from holdfast.cli.options import Context, Kubeconfig, Namespace, OptionalName, OutputForm, Verbose
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

if TYPE_CHECKING:
    from holdfast.cli.cluster import Cluster
    from holdfast.cli.session import Session


EXAMPLES: Final = (
    "holdfast status",
    "holdfast status support-chat --watch",
    "holdfast status support-chat -o json",
)


def status(
    ctx: typer.Context,
    name: OptionalName = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on: a line for each change, until interrupted.")] = False,
    output: OutputForm = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Show what serves, and what waits for whom.

    With --watch it goes on with a line for each change; with -o json each change is one line of JSON, with -o yaml a document.
    """
    session = session_of(ctx, verbose=verbose)
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        if name is None:
            _all(session, cluster, output, watch=watch)
        else:
            _one(session, cluster, name, output, watch=watch)
        if watch:
            _follow(session, cluster, name, output)


def _one(session: "Session", cluster: "Cluster", name: str, output: Output, *, watch: bool) -> None:
    from holdfast.cli import describe, objects

    found = objects.deployment(cluster.deployment(name))
    if output is Output.TEXT:
        describe.show(session.terminal, found, session.program, session.now())
    elif not watch:
        session.terminal.data(describe.data(found), output)


def _all(session: "Session", cluster: "Cluster", output: Output, *, watch: bool) -> None:
    from holdfast.cli import describe, objects

    found = [objects.deployment(raw) for raw in cluster.deployments()]
    if output is not Output.TEXT:
        if not watch:
            session.terminal.data([describe.data(one) for one in found], output)
    elif found:
        session.terminal.table(describe.HEADER, [describe.row(one) for one in found])
    else:
        session.terminal.note(f"no ModelDeployment in the namespace {cluster.namespace!r}")


def _follow(session: "Session", cluster: "Cluster", name: str | None, output: Output) -> None:
    """Print each change; the first line of each object is what it is now."""
    from holdfast.cli import describe, objects
    from holdfast.cli.cluster import DEPLOYMENTS
    from holdfast.cli.exits import CommandError, ExitCode

    shown: dict[str, str] = {}
    for change in cluster.changes(DEPLOYMENTS, name=name, lost=session.terminal.note):
        if change.gone:
            if name is not None:
                raise CommandError(f"the ModelDeployment {name} was deleted", ExitCode.NOT_FOUND)
            session.terminal.line(f"{session.now():%H:%M:%SZ}  {change.name}  deleted")
            continue
        found = objects.deployment(change.object)
        if output is not Output.TEXT:
            session.terminal.document(describe.data(found), output)
            continue
        line = describe.change(found, session.now(), named=name is None)
        told = line.partition("  ")[2]
        if shown.get(found.name) != told:  # a write of something that the line does not tell
            shown[found.name] = told
            session.terminal.line(line)
