"""Options that several commands share, with one wording each."""

import re
from typing import Annotated, Final

import typer

from holdfast.cli.completion import deployment_names
from holdfast.cli.terminal import Output

REASON_MAX_LENGTH: Final = 1024
"""As the kind has it (`api.approval`), said before anything is asked."""


def object_name(value: str | None) -> str | None:
    """Refuse what cannot name an object (RFC 1123): an empty one, as of an unset variable, would mean all of them."""
    if value is not None and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", value):
        raise typer.BadParameter(f"{value!r} is not a name; write lower-case letters, digits and dashes, such as support-chat")
    return value


def _reason(value: str | None) -> str | None:
    if value is not None and len(value) > REASON_MAX_LENGTH:
        raise typer.BadParameter(f"it has {len(value)} characters, and {REASON_MAX_LENGTH} are the most; link to what is longer")
    return value


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the ModelDeployment.",
        autocompletion=deployment_names,
        show_default=False,
        callback=object_name,
    ),
]
OptionalName = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="Name of the ModelDeployment; without it, all of the namespace.",
        autocompletion=deployment_names,
        show_default=False,
        callback=object_name,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", metavar="NAMESPACE", help="Namespace; without it, the one of the context.", show_default=False
    ),
]
Context = Annotated[
    str | None, typer.Option("--context", metavar="CONTEXT", help="Context of kubeconfig to use.", show_default=False)
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig", metavar="PATH", help="Path of kubeconfig; without it, KUBECONFIG or ~/.kube/config.", show_default=False
    ),
]
OutputForm = Annotated[Output, typer.Option("--output", "-o", help="Form of the printed data.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the causes of an error.", show_default=False)]
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="TEXT",
        help="Why; kept with the decision, such as a report or a ticket.",
        show_default=False,
        callback=_reason,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait for the operator's answer to the decision.", show_default=False)
]
Timeout = Annotated[
    int, typer.Option("--timeout", metavar="SECONDS", min=1, max=86_400, help="Seconds to wait for the operator's answer.")
]
