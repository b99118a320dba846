"""``holdfast abort``."""

from typing import Final

import typer

from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, NoWait, OutputForm, Reason, Timeout, Verbose, Yes
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

EXAMPLES: Final = ('holdfast abort support-chat --reason "wrong tone in German"',)


def abort(
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
    """Take the revision that is being tried out of traffic.

    Works in any phase. What served before serves everybody again. To try the same revision once more: holdfast resume.
    """
    from holdfast.api.decision import DecisionType
    from holdfast.cli import objects, words
    from holdfast.cli.decisions import Answering, Wish, about, confirm, decide, open_request

    session = session_of(ctx, verbose=verbose)
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        found = objects.deployment(cluster.deployment(name))
        request = open_request(found)
        candidate = found.status.candidate
        share = f" (it has {words.weight(candidate.weight_intent)} of the users)" if candidate else ""
        serves = words.role(found.status.stable)
        confirm(session, f"Abort revision {request.revision}{share}? Everybody gets: {serves}.", yes=yes)
        wish = Wish(decision=DecisionType.ABORT, target=about(found), reason=reason)
        decide(session, cluster, wish, Answering(wait=not no_wait, timeout=timeout, output=output))
