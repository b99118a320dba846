"""Which Hub the commands ask that need no cluster."""

from collections.abc import Mapping
from typing import Annotated, Final

import typer

HUB: Final = "https://huggingface.co"
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", show_default=False, help=f"URL of the Hub; without it HF_ENDPOINT, else {HUB}."),
]


def hub_of(endpoint: str | None, environ: Mapping[str, str]) -> str:
    """Return the URL of the Hub, without a slash at its end."""
    return (endpoint or environ.get("HF_ENDPOINT") or HUB).rstrip("/")
