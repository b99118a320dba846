"""``holdfast diff``."""

from typing import Final

import typer

from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, OutputForm, Verbose
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

EXAMPLES: Final = (
    "holdfast diff support-chat",
    "holdfast diff support-chat -o json",
)


def diff(
    ctx: typer.Context,
    name: Name,
    output: OutputForm = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Show what the proposed revision would change.

    Compares the revision of the latest request with the one that serves: files, image, arguments, template, sampling defaults.
    Both are checked against their digests first.
    """
    from holdfast.api.deployment import RequestState
    from holdfast.cli import comparison, objects

    session = session_of(ctx, verbose=verbose)
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        found = objects.deployment(cluster.deployment(name))
        request, stable = found.status.request, found.status.stable
        if request is None and stable is None:
            raise objects.without_revision(found)
        if request is None or (stable is not None and request.digest == stable.digest):
            if output is Output.TEXT:
                session.terminal.line(f"nothing is proposed: revision {stable.revision if stable else '?'} serves")
            else:
                session.terminal.data(None, output)
            return
        new = objects.revision_of(cluster, name, request.revision, request.digest)
        old = objects.revision_of(cluster, name, stable.revision, stable.digest) if stable else None
    found_differences = comparison.compare(old, new)
    if output is not Output.TEXT:
        session.terminal.data(comparison.data(found_differences, request.number), output)
        return
    over = "" if request.state is RequestState.OPEN else f" (it is {request.state})"
    session.terminal.line(f"{name} in {found.namespace}: request {request.number}{over}", style="bold")
    comparison.show(session.terminal, found_differences)
