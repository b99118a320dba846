"""``holdfast resume``."""

from typing import TYPE_CHECKING, Final

import typer

from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, NoWait, OutputForm, Reason, Timeout, Verbose, Yes
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

if TYPE_CHECKING:
    from holdfast.cli.objects import Deployment


EXAMPLES: Final = ('holdfast resume support-chat --reason "incident 7 is over"',)


def resume(
    ctx: typer.Context,
    name: Name,
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
    """End a fallback, or ask again for a revision.

    After a fallback all traffic returns to the stable revision. After an abort or a rejection a new request opens, which needs
    its own approval.
    """
    from holdfast.api.decision import DecisionType
    from holdfast.cli import objects
    from holdfast.cli.decisions import Answering, Wish, about, confirm, decide

    session = session_of(ctx, verbose=verbose)
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        found = objects.deployment(cluster.deployment(name))
        target = about(found)
        confirm(session, _question(found), yes=yes)
        wish = Wish(decision=DecisionType.RESUME, target=target, reason=reason)
        decide(session, cluster, wish, Answering(wait=not no_wait, timeout=timeout, output=output))


def _question(found: "Deployment") -> str:
    from holdfast.cli import words

    status = found.status
    if status.fallback is not None:
        return f"End the {words.fallback(status.fallback)}? Traffic returns to: {words.role(status.stable)}."
    revision = status.request.revision if status.request else "?"
    return f"Ask again for revision {revision}? It needs a new approval."
