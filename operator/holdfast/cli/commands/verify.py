"""``holdfast verify``."""

from typing import TYPE_CHECKING, Any, Final

import typer

from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, OutputForm, Verbose
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.cli.cluster import Cluster
    from holdfast.cli.verify.finding import Verified


EXAMPLES: Final = (
    "holdfast verify support-chat",
    "holdfast verify support-chat -o json",
)


def verify(
    ctx: typer.Context,
    name: Name,
    output: OutputForm = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Check that what runs is what was approved, link by link.

    The digest of each revision is computed anew and compared with the decision that approved it; every object with what Holdfast
    renders; every pod with its template, its image and what its weights containers said. It ends at the first difference, with
    exit status 1. Nothing is changed.
    """
    from holdfast.cli.verify.finding import DifferenceError

    session = session_of(ctx, verbose=verbose)
    terminal = session.terminal
    done: list[Verified] = []
    difference: DifferenceError | None = None
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        try:
            for verified in _checks(cluster, name):
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


def _checks(cluster: "Cluster", name: str) -> "Iterator[Verified]":
    from holdfast.cli import objects
    from holdfast.cli.verify import identity, pods, rendered, views

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


def _data(name: str, done: "list[Verified]", difference: Any) -> dict[str, Any]:
    return {
        "name": name,
        "verified": difference is None,
        "difference": difference.wire() if difference is not None else None,
        "checks": [each.wire() for each in done],
    }
