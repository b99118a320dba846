"""Names of ModelDeployments for the shell's completion. It never fails: no cluster, no names."""

import os

import typer


def deployment_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names in the namespace that is meant, as far as they begin like the typed text."""
    from holdfast.cli.exits import CommandError
    from holdfast.cli.session import Session
    from holdfast.cli.terminal import Terminal

    chosen = {key: ctx.params.get(key) for key in ("kubeconfig", "context", "namespace")}
    session = Session(terminal=Terminal(), environ=os.environ)
    try:
        with session.cluster(**chosen) as cluster:
            names = [str(item["metadata"]["name"]) for item in cluster.deployments()]
    except CommandError:
        return []
    return [name for name in names if name.startswith(incomplete)]
