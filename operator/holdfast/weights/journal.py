"""How far each part of each file is, so that the next process goes on at the byte where a killed one stopped.

A journal is one file of fixed layout: a header that names the list of files, then eight bytes for each segment of each file, in the
list's order, with the number of bytes that are there. It is written after the bytes. Nothing in it is believed: whatever it says,
a file counts once the sha256 of all its bytes is the approved one.
"""

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast.weights.artifacts import ApprovedFile

SEGMENT_BYTES: Final = 64 * 1024 * 1024
"""Files are asked for in pieces of this size at most, so that several connections can bring one large file."""
_HEADER: Final = struct.Struct("16s64sQ")
_MAGIC: Final = b"holdfast journal"
_COUNT: Final = struct.Struct("<Q")


def segments(size: int) -> int:
    """Return how many segments a file has."""
    return -(-size // SEGMENT_BYTES)


class Journal:
    """The journal of one list of files. Segments of a file are written by one thread each."""

    def __init__(self, path: Path, manifest_digest: str, files: Sequence[ApprovedFile]) -> None:
        self._first: dict[str, int] = {}
        slots = 0
        for file in files:
            self._first[file.path] = slots
            slots += segments(file.size)
        header = _HEADER.pack(_MAGIC, manifest_digest.removeprefix("sha256:").encode(), SEGMENT_BYTES)
        length = _HEADER.size + slots * _COUNT.size
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        status = os.fstat(self._descriptor)
        if status.st_size != length or os.pread(self._descriptor, _HEADER.size, 0) != header:
            os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, length)
            os.pwrite(self._descriptor, header, 0)

    def read(self, path: str, index: int) -> int:
        """Return how many bytes of a file's segment are there, as far as the journal knows."""
        content = os.pread(self._descriptor, _COUNT.size, self._offset(path, index))
        return int(_COUNT.unpack(content)[0]) if len(content) == _COUNT.size else 0

    def write(self, path: str, index: int, count: int) -> None:
        """Say how many bytes of a file's segment are there."""
        os.pwrite(self._descriptor, _COUNT.pack(count), self._offset(path, index))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _offset(self, path: str, index: int) -> int:
        return _HEADER.size + (self._first[path] + index) * _COUNT.size
