"""What is written down about a bed, so that other processes can use it and a later one can clean it."""

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from testbed import places


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same id: `started` is in clock ticks since boot."""

    pid: int
    started: int

    @classmethod
    def current(cls) -> Self:
        """Return the calling process."""
        return cls(os.getpid(), _started(os.getpid()) or 0)

    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return _started(self.pid) == self.started


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)); the second field may hold spaces and parentheses. None for a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """The facts of one bed, stable from its start to its end.

    `block` is the second byte of the bed's 10.BLOCK.0.0/16, or None for a control plane on the loopback.
    `owner` is the process that the bed lives for, or None for one that stays until `down`.
    """

    name: str
    control_plane_only: bool
    kwok_nodes: int
    block: int | None
    api_server_port: int
    registry_port: int
    owner: Process | None

    @property
    def directory(self) -> Path:
        return places.bed(self.name)

    def write(self) -> None:
        """Write it whole or not at all."""
        path = self.directory / "bed.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")
        fresh.rename(path)

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Read the record in a bed's folder, or None if there is none that can be read."""
        try:
            values: dict[str, Any] = json.loads((directory / "bed.json").read_text())
            owner = values.pop("owner")
            return cls(owner=Process(**owner) if owner else None, **values)
        except (OSError, ValueError, TypeError, KeyError):
            return None


def every() -> Iterator[tuple[Path, Record | None]]:
    """Each bed's folder on this machine, with its record if it has one."""
    with contextlib.suppress(FileNotFoundError):
        for directory in sorted(places.beds().iterdir()):
            if directory.is_dir():
                yield directory, Record.read(directory)


@contextlib.contextmanager
def locked(name: str | None) -> Iterator[None]:
    """Hold the lock of one bed's start and end, or with None that of handing out addresses and ports."""
    folder = places.beds()
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    path = folder / (f"{name}.lock" if name else "machine.lock")
    while True:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held it before has removed it: what was waited for may be a file that nobody else will find.
            if not _is_at(file.fileno(), path):
                continue
            try:
                yield
            finally:
                path.unlink()
            return


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
