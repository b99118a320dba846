"""Where beds and caches live on this machine."""

import os
import re
from pathlib import Path

from testbed.errors import TestbedError

# The path of a socket has at most 107 bytes (unix(7)).
_LONGEST_PATH = 80
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def cache() -> Path:
    """Return the folder of what may be deleted at any time: `$HOLDFAST_CACHE`, by default `~/.cache/holdfast`."""
    configured = os.environ.get("HOLDFAST_CACHE")
    return Path(configured).expanduser().resolve() if configured else Path.home() / ".cache" / "holdfast"


def beds() -> Path:
    """Return the folder of all beds' folders.

    `/var/lib/holdfast-testbed` for root, else `$XDG_STATE_HOME/holdfast-testbed`. It must be on a real file system:
    containerd stacks overlayfs on it.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/holdfast-testbed")
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "holdfast-testbed"


def bed(name: str) -> Path:
    """Return the folder of one bed; raises TestbedError for a name that is not a DNS label of at most 32 characters."""
    if not _NAME.fullmatch(name):
        raise TestbedError(f"a bed's name has 1 to 32 lower-case letters, digits and hyphens, not {name!r}")
    path = beds() / name
    if len(str(path)) > _LONGEST_PATH:
        raise TestbedError(f"{path} is too long for the sockets in it; set XDG_STATE_HOME to a shorter folder")
    return path
