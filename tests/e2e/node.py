"""What root on the node sees and can do: a pod's volumes on the disk, and its processes."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from stage.team import Wire
from stage.wait import until
from testbed import Testbed


def volume(bed: Testbed, pod: Wire, name: str) -> Path:
    """Return the folder of a pod's emptyDir."""
    folder: Path = bed.directory / "kubelet" / "pods" / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~empty-dir" / name
    return folder


def flip(path: Path, *, offset: int) -> None:
    """Change one bit of a file in place, as a disk that rots. A negative offset counts from its end."""
    with path.open("r+b") as file:
        position = file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ 1]))


def kill(pod: Wire, *words: str) -> None:
    """SIGKILL the processes of a pod whose command line has all these words: all of its processes without words, as a crash of the node.

    There must be one, so that nothing is thought killed that was not there.
    """

    def found() -> list[int]:
        return [number for number, command in _processes(pod["metadata"]["uid"]) if all(word in command for word in words)]

    for number in until(found, what=f"processes of {pod['metadata']['name']} with {words}"):
        with contextlib.suppress(ProcessLookupError):  # it went with another one
            os.kill(number, signal.SIGKILL)


def _processes(uid: str) -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if f"pod{uid}" in (folder / "cgroup").read_text():
                yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
