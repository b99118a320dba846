"""Run a program that mounts and forks, so that nothing of it outlives the caller."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.images.errors import ImageError

# The packages of Debian that bring the programs.
_PACKAGES = {
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "apt-get": "apt",
    "gcc": "gcc",
    "strip": "binutils",
}


def require(*programs: str) -> None:
    """Raise ImageError unless the caller is root and these programs are on PATH; it names the packages to install."""
    if os.geteuid() != 0:
        raise ImageError("images are built as root (namespaces, mounts, files of other owners): run it with sudo")
    missing = {_PACKAGES[program] for program in programs if shutil.which(program) is None}
    if missing:
        raise ImageError(
            f"building images needs packages that are missing; install them and try again: "
            f"apt-get install --no-install-recommends {' '.join(sorted(missing))}"
        )


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    bind: tuple[Path, Path] | None = None,
) -> None:
    """Run in mount and PID namespaces of its own, which end with the caller however it ends; output goes to `log`.

    `bind` shows the first folder at the place of the second one. Raises ImageError with the end of the output.
    """
    require("setpriv", "unshare")
    mount = f"mkdir -p '{bind[1]}' && mount --bind '{bind[0]}' '{bind[1]}' && " if bind else ""
    # unshare is killed when we die, its child when unshare does, and with PID 1 goes the rest of the namespace.
    wrapper = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    wrapper += ["sh", "-c", f'{mount}exec "$@"', "sh"]
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        result = subprocess.run(
            [*wrapper, *command],
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if result.returncode != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise ImageError(f"{command[0]} failed with exit code {result.returncode}; the whole output is in {log}\n{last}")
