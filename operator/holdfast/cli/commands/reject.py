"""``holdfast reject``."""

from typing import Final

import typer

from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, NoWait, OutputForm, Reason, Timeout, Verbose, Yes
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

EXAMPLES: Final = ('holdfast reject support-chat --reason "license changed"',)


def reject(
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
    """Say no to the open request.

    A candidate that is being tried is taken back; what serves goes on serving. The answer is final for this request: holdfast
    resume opens a new one for the same revision.
    """
    from holdfast.api.decision import DecisionType
    from holdfast.cli import objects, words
    from holdfast.cli.decisions import Answering, Wish, about, confirm, decide, open_request

    session = session_of(ctx, verbose=verbose)
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        found = objects.deployment(cluster.deployment(name))
        request = open_request(found)
        serves = words.role(found.status.stable)
        confirm(session, f"Reject request {request.number}, revision {request.revision}? Serving stays: {serves}.", yes=yes)
        wish = Wish(decision=DecisionType.REJECT, target=about(found), reason=reason)
        decide(session, cluster, wish, Answering(wait=not no_wait, timeout=timeout, output=output))
