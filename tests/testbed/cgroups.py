"""The control groups of a bed's pods: the one thing that the kernel does not remove by itself."""

import contextlib
import os
import time
from pathlib import Path

from testbed.errors import TestbedError

_ROOT = Path("/sys/fs/cgroup")


def name(bed: str) -> str:
    """Return the path of a bed's group below each hierarchy's root."""
    return f"/holdfast-testbed/{bed}"


def _hierarchies() -> list[Path]:
    """Return the root of version 2, or of each controller of version 1."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    found = {entry.resolve() for entry in _ROOT.iterdir() if entry.is_dir() and (entry / "cgroup.procs").exists()}
    return sorted(found)


def create(bed: str) -> None:
    """Make a bed's group in each hierarchy; the kubelet wants to find it."""
    for hierarchy in _hierarchies():
        group = hierarchy / name(bed).lstrip("/")
        for level in (group.parent, group):
            if hierarchy == _ROOT:
                _delegate(level.parent)
            level.mkdir(exist_ok=True)
            if hierarchy != _ROOT:
                _copy_cpuset(level)


def _delegate(group: Path) -> None:
    """Version 2 gives a child only the controllers that its parent hands on."""
    for controller in (group / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _copy_cpuset(group: Path) -> None:
    """Version 1's cpuset takes no process before the group's processors and memory nodes are set."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        path = group / file
        if path.exists() and not path.read_text().strip():
            path.write_text((group.parent / file).read_text())


def remove(bed: str, *, within: float = 10.0) -> None:
    """Remove a bed's groups once their processes are gone; raises TestbedError if they stay occupied."""
    deadline = time.monotonic() + within
    for hierarchy in _hierarchies():
        group = hierarchy / name(bed).lstrip("/")
        while not _removed(group):
            if time.monotonic() > deadline:
                raise TestbedError(f"the control group {group} is still in use; see its cgroup.procs")
            time.sleep(0.05)
        with contextlib.suppress(OSError):
            group.parent.rmdir()


def _removed(group: Path) -> bool:
    for folder, _folders, _files in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()
