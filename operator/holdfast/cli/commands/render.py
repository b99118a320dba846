"""``holdfast render``."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from holdfast.cli.completion import deployment_names
from holdfast.cli.endpoints import Endpoint, hub_of
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.options import Context, Kubeconfig, Namespace, Verbose, object_name
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output


class ObjectsForm(StrEnum):
    """Forms of manifests."""

    YAML = "yaml"
    JSON = "json"


EXAMPLES: Final = (
    "holdfast render support-chat",
    "holdfast render support-chat --revision 2 | kubectl diff -f -",
    "holdfast render -f saved.yaml --revision 1 -o json",
    "holdfast render -f support-chat.yaml --weights-image ghcr.io/holdfast/holdfast@sha256:26d1…",
)


def render(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Name of the ModelDeployment in the cluster.",
            autocompletion=deployment_names,
            callback=object_name,
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="PATH",
            show_default=False,
            help="File with the ModelDeployment instead, and its ModelRevisions if it has any; - for stdin.",
        ),
    ] = None,
    revision: Annotated[
        int | None,
        typer.Option(
            "--revision", metavar="NUMBER", min=1, show_default=False, help="Revision to print; without it, the declared one."
        ),
    ] = None,
    weights_image: Annotated[
        str | None,
        typer.Option(
            "--weights-image",
            metavar="IMAGE",
            show_default=False,
            help="With a file without revisions: the image of the operator, which a new revision fixes.",
        ),
    ] = None,
    endpoint: Endpoint = None,
    output: Annotated[ObjectsForm, typer.Option("--output", "-o", help="Form of the objects.")] = ObjectsForm.YAML,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Print the objects of a revision, exactly as the operator makes them.

    They follow from the ModelDeployment and its ModelRevision alone, whichever version of Holdfast runs. Nothing is written. Not
    printed is what a whole namespace shares: its gateway, and the key of its seals.
    """
    from holdfast.cli import rendering

    session = session_of(ctx, verbose=verbose)
    if (name is None) == (file is None):
        raise CommandError("give the NAME of a ModelDeployment or a file with -f, and not both", ExitCode.USAGE)
    if name is not None:
        with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
            subject = rendering.Subject(deployment=cluster.deployment(name), revisions=tuple(cluster.revisions(name)))
        what = f"the ModelDeployment {name}"
    else:
        what = "stdin" if file == "-" else str(file)
        subject = rendering.read(_text(str(file)), what)
    if subject.revisions or name is not None:
        spec = rendering.stored(rendering.chosen(subject, revision))
    elif weights_image is None or revision is not None:
        told = "the file has no ModelRevision: add it (kubectl get modelrevisions.holdfast.dev -o yaml), or render a first one with --weights-image"
        raise CommandError(told, ExitCode.USAGE)
    else:
        hub = hub_of(endpoint, session.environ)
        with session.terminal.progress(f"asking {hub} about {what}"):
            spec = rendering.proposed(
                subject.deployment, what, endpoint=hub, environ=session.environ, weights_image=weights_image
            )
    made = rendering.render(subject, spec, what)
    if output is ObjectsForm.JSON:
        whole: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": made}
        session.terminal.data(whole, Output.JSON)
        return
    for each in made:
        session.terminal.data(each, Output.YAML)


def _text(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f"cannot read {path}: {why}", ExitCode.NOT_FOUND) from error
