"""What a bed could leave on the machine, looked for where it would be: not in the bed's own records."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def _processes(directory: Path) -> list[str]:
    """Processes of the bed: by command line, by working folder, or by the control group of a pod."""
    named = re.compile(re.escape(str(directory)) + r"(?![a-z0-9-])")
    group = f"/holdfast-testbed/{directory.name}/"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            working = str(entry.joinpath("cwd").readlink())
            pod = group in entry.joinpath("cgroup").read_text()
            if pod or (_alive(entry) and (named.search(command) or named.match(working))):
                found.append(f"process {entry.name}: {command}")
    return found


def _alive(entry: Path) -> bool:
    return entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def of_bed(directory: Path, block: int | None) -> list[str]:
    """Everything of this bed that the kernel still holds."""
    found = _processes(directory)
    found += [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{directory}/" in line]
    if block is not None:
        found += [f"interface {line}" for line in _run("ip", "-oneline", "link").splitlines() if f"holdfast{block}" in line]
        found += [f"route {line}" for line in _run("ip", "route").splitlines() if f"10.{block}." in line]
    return found


def control_groups(name: str) -> list[Path]:
    """The bed's control groups in every hierarchy."""
    return [*Path("/sys/fs/cgroup").glob(f"holdfast-testbed/{name}"), *Path("/sys/fs/cgroup").glob(f"*/holdfast-testbed/{name}")]


def packet_filter() -> str:
    """The host's packet filter rules: a bed must not touch them."""
    return _run("nft", "list", "ruleset")


def wait_until(condition: Callable[[], object], *, within: float = 30.0) -> bool:
    """Whether the condition becomes true in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
