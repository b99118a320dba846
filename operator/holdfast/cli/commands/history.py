"""``holdfast history``."""

from typing import TYPE_CHECKING, Any, Final

import typer

from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, OutputForm, Verbose
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output, Terminal

if TYPE_CHECKING:
    from holdfast.cli.objects import Revision


EXAMPLES: Final = (
    "holdfast history support-chat",
    "holdfast history support-chat -o yaml",
)


def history(
    ctx: typer.Context,
    name: Name,
    output: OutputForm = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Show all revisions, and who decided what.

    With each decision: when it was made, by whom, why. The history stays when the ModelDeployment is deleted.
    """
    from holdfast.cli import objects

    session = session_of(ctx, verbose=verbose)
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        revisions = [objects.revision(raw) for raw in cluster.revisions(name)]
        if not revisions:
            raise objects.without_revision(objects.deployment(cluster.deployment(name)))
    revisions.sort(key=lambda revision: revision.spec.number)
    if output is Output.TEXT:
        _show(session.terminal, revisions)
    else:
        session.terminal.data(_data(revisions), output)


def _show(terminal: Terminal, revisions: "list[Revision]") -> None:
    from holdfast.cli import words
    from holdfast.domain.pin import short_digest

    terminal.table(
        ("REVISION", "DIGEST", "MODEL", "VERSION", "ENGINE", "CREATED", "PROMOTED"),
        [
            (
                str(revision.spec.number),
                short_digest(revision.spec.digest),
                *words.source(revision.spec.model.source),
                str(revision.spec.model.engine.type),
                words.moment(revision.created),
                words.moment(revision.status.promoted_at) if revision.status.promoted_at else "-",
            )
            for revision in revisions
        ],
    )
    decided = sorted(
        ((made, revision.spec.number) for revision in revisions for made in revision.status.decisions or []),
        key=lambda entry: entry[0].at,
    )
    terminal.line()
    if not decided:
        terminal.line("no decision was taken yet")
        return
    terminal.table(
        ("WHEN", "DECISION", "REQUEST", "REVISION", "BY", "REASON"),
        [
            (
                words.moment(made.at),
                words.decision(made),
                str(made.request) if made.request is not None else "-",
                str(number),
                made.by,
                made.reason or "-",
            )
            for made, number in decided
        ],
    )


def _data(revisions: "list[Revision]") -> dict[str, Any]:
    from holdfast.cli import words

    return {
        "revisions": [
            {
                "number": revision.spec.number,
                "digest": revision.spec.digest,
                "source": revision.spec.model.source.model_copy(update={"files": None}).wire(),
                "engine": str(revision.spec.model.engine.type),
                "image": revision.spec.model.engine.image,
                "created": words.moment(revision.created),
                "promoted": words.moment(revision.status.promoted_at) if revision.status.promoted_at else None,
                "decisions": [made.wire() for made in revision.status.decisions or []],
            }
            for revision in revisions
        ]
    }
