"""The bytes of files, addressed by their sha256, in memory or in a folder."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """Bytes of a known length that can be read in pieces."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return at most ``length`` bytes from ``offset``."""


class ContentStore(Protocol):
    """Where the hub keeps the bytes of files."""

    def put(self, content: bytes) -> str:
        """Keep the bytes and return their sha256 in hex."""

    def open(self, sha256: str) -> Source:
        """Return the bytes. Raises ``KeyError`` when nothing with this digest was ever put."""


class Bytes:
    """A `Source` over bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content)

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


class MemoryStore:
    """A `ContentStore` that forgets everything with the process."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self._blobs[digest] = content
        return digest

    def open(self, sha256: str) -> Source:
        return Bytes(self._blobs[sha256])


class FolderStore:
    """A `ContentStore` in a folder: ``<first two digits>/<sha256>``, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        target = self._path(digest)
        if not target.exists():
            write_atomically(target, content)
        return digest

    def open(self, sha256: str) -> Source:
        path = self._path(sha256)
        if not path.exists():
            raise KeyError(sha256)
        return File(path)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


class File:
    """A `Source` over a file on the disk, which the kernel can send by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file so that a reader, also after a crash, finds the old content or the new, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
