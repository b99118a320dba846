"""Which Hub the commands ask that need no cluster, and with which token."""

import re
from collections.abc import Mapping
from typing import Annotated, Final

import typer

from holdfast.cli.exits import CommandError, ExitCode

HUB: Final = "https://huggingface.co"
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", show_default=False, help=f"URL of the Hub; without it HF_ENDPOINT, else {HUB}."),
]


def hub_of(endpoint: str | None, environ: Mapping[str, str]) -> str:
    """Return the URL of the Hub, without a slash at its end."""
    return (endpoint or environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def token_of(environ: Mapping[str, str]) -> str | None:
    """Return the token in ``HF_TOKEN``, None without one.

    Raises:
        CommandError: no HTTP header can hold it. It is not shown here, and the library would show it.
    """
    token = environ.get("HF_TOKEN", "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise CommandError("HF_TOKEN has a space, a line end or another sign that no token has; set it anew", ExitCode.USAGE)
    return token or None
