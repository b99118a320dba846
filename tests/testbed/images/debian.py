"""The root file system under all images of the bed: a minimal Debian from the mirror that this machine uses."""

import os
import shutil
import subprocess
from pathlib import Path

from testbed.images import sandbox
from testbed.images.errors import ImageError
from testbed.progress import Progress

_RELEASE = "bookworm"
_PACKAGES = ("ca-certificates", "libgomp1", "libnuma1", "libstdc++6", "python3", "python3-venv")

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What tells of the build or of the machine, and what nobody reads in a container.
_LEFT_OUT = (
    "etc/apt/sources.list",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/machine-id",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/lib/apt/lists",
    "var/log",
)


def make(context: Path, progress: Progress) -> None:
    """Put `rootfs.tar` into the build context; raises ImageError if this machine has no mirror or no key of Debian."""
    sandbox.require("debootstrap", "apt-get")
    if not _KEYRING.is_file():
        raise ImageError(f"{_KEYRING} is missing; install it: apt-get install debian-archive-keyring")
    rootfs = context / "rootfs"
    log = context.parent / "debootstrap.log"
    with progress.step(f"debootstrap Debian {_RELEASE}"):
        sandbox.run(
            [
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(_PACKAGES)}",
                f"--keyring={_KEYRING}",
                "--force-check-gpg",
                _RELEASE,
                rootfs,
                mirror(),
            ],
            log=log,
        )
    # Time stamps are 0 in the image, and Python compares them with what its byte code says unless told not to.
    command = ["python3", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    sandbox.run(
        ["chroot", rootfs, *command, "/usr/lib/python3.11", "/usr/lib/python3/dist-packages"],
        log=log,
        environment={"PATH": os.defpath + ":/usr/sbin", "PYTHONHASHSEED": "0"},
    )
    for name in _LEFT_OUT:
        _empty(rootfs / name)
    _pack(rootfs, context / "rootfs.tar", log)
    shutil.rmtree(rootfs)


def mirror() -> str:
    """Return `HOLDFAST_DEBIAN_MIRROR`, or the repository that apt on this machine takes the release from."""
    if configured := os.environ.get("HOLDFAST_DEBIAN_MIRROR"):
        return configured
    wanted = [f"Codename: {_RELEASE}", "Component: main", "Created-By: Packages"]
    result = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted], capture_output=True, text=True, check=False
    )
    if result.returncode != 0 or not result.stdout.strip():
        raise ImageError(
            f"apt on this machine has no repository of Debian {_RELEASE} to build images from; "
            "add one to its sources, or set HOLDFAST_DEBIAN_MIRROR to the address of one"
        )
    return result.stdout.splitlines()[0]


def _empty(path: Path) -> None:
    """Remove a file, or everything in a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        path.mkdir()
    else:
        path.unlink(missing_ok=True)


def _pack(rootfs: Path, target: Path, log: Path) -> None:
    # Devices and mounts of a running system are the container runtime's affair.
    sandbox.run(
        ["tar", "--create", f"--file={target}", f"--directory={rootfs}", "--sort=name", "--mtime=@0", "--numeric-owner",
         "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./run/*", "--exclude=./sys/*", "--exclude=./tmp/*", "."],
        log=log,
    )  # fmt: skip
