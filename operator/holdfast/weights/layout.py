"""Where things are in a cache of weights."""

from pathlib import Path
from typing import Final

SEALS: Final = "seals"
"""Folder of the seals."""


def entry_path(cache: Path, manifest_digest: str) -> Path:
    """Return where a list of files is published."""
    return cache / manifest_digest.replace(":", "-")
