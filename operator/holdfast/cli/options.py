"""Options that several commands share, with one wording each."""

from typing import Annotated

import typer

from holdfast.cli.completion import deployment_names
from holdfast.cli.terminal import Output

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the ModelDeployment.", autocompletion=deployment_names, show_default=False)
]
OptionalName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="Name of the ModelDeployment; without it, all of the namespace.",
        autocompletion=deployment_names,
        show_default=False,
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
        "--reason", metavar="TEXT", help="Why; kept with the decision, such as a report or a ticket.", show_default=False
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait for the operator's answer to the decision.", show_default=False)
]
Timeout = Annotated[
    int, typer.Option("--timeout", metavar="SECONDS", min=1, max=86_400, help="Seconds to wait for the operator's answer.")
]
