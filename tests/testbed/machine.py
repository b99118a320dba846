"""What a bed needs from the machine, and how to get it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from testbed.errors import TestbedError
from testbed.progress import Progress

# Debian's names: kubelet, kube-proxy and the CNI plugins call these, buildah and debootstrap make images.
NODE_PACKAGES = (
    "iproute2",
    "iptables",
    "nftables",
    "conntrack",
    "socat",
    "ipset",
    "kmod",
    "debootstrap",
    "buildah",
    "gcc",
    "libc6-dev",
)
_MODULES = ("overlay", "br_netfilter", "nf_tables", "nf_conntrack", "veth", "bridge")


def check_system() -> None:
    """Raise TestbedError unless this is Linux."""
    if sys.platform != "linux":
        raise TestbedError("the test bed runs on Linux only; use a Linux virtual machine")


def check_root() -> None:
    """Raise TestbedError unless the caller may make namespaces, mounts and interfaces."""
    if os.geteuid() != 0:
        raise TestbedError(
            "a bed with a node needs root (namespaces, mounts, a bridge): run it with sudo, "
            "or start only the control plane with --control-plane-only, which needs none"
        )


def ensure_packages(packages: Iterable[str], *, progress: Progress) -> None:
    """Install the Debian packages that are missing; raises TestbedError with the command if it cannot."""
    wanted = list(dict.fromkeys(packages))
    if shutil.which("dpkg-query") is None:
        return  # not Debian: a program that is missing says so itself when it is called
    missing = [package for package in wanted if not _installed(package)]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise TestbedError(f"these packages are missing; install them and try again: sudo {' '.join(command)}")
    progress.say(f"Installing Debian packages: {' '.join(missing)}")
    with progress.step("install packages"):
        _apt(["apt-get", "update"])
        _apt(command)


def _installed(package: str) -> bool:
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout == "installed"


def _apt(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise TestbedError(f"{' '.join(command)} failed: {result.stderr.strip()[-1000:]}")


def load_modules() -> None:
    """Load the kernel modules of a node where the kernel does not have them built in."""
    if Path("/lib/modules").is_dir() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "--all", "--quiet", *_MODULES], capture_output=True, check=False)
