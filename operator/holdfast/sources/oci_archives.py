"""The files in the tar archives of an artifact, as they stream by."""

import io
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final, Self

from holdfast.sources.oci_blobs import Layer

_PIECE_BYTES: Final = 512 * 1024
_HEADER_MAX_BYTES: Final = 1024 * 1024
_HEADERS: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class ArchiveError(Exception):
    """The bytes are no tar archive that can be read here. The text says why."""


@contextmanager
def open_archive(pieces: Iterator[bytes]) -> Generator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
    """Open an archive for reading it once, in order.

    Raises:
        ArchiveError: it is none.
    """
    try:
        with tarfile.open(fileobj=_Stream(pieces), mode="r|", bufsize=_PIECE_BYTES, tarinfo=_Member) as archive:
            yield _members(archive)
    except (tarfile.TarError, ValueError, OverflowError) as error:  # malformed numbers are not always told as the first
        raise ArchiveError(str(error) or type(error).__name__) from error


def name_in(member: tarfile.TarInfo, layer: Layer) -> str | None:
    """Return the path of a member among the model's files; None if it is elsewhere in the archive."""
    name = member.name.removeprefix("./")
    return name.removeprefix(layer.prefix) if name.startswith(layer.prefix) else None


def _members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    for member in archive:
        archive.members = []  # type: ignore[attr-defined] # it would remember all of them
        yield archive, member


class _Member(tarfile.TarInfo):
    """A header, which may not be followed by more than a little of what is read into memory as a whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _HEADERS and not 0 <= found.size <= _HEADER_MAX_BYTES:
            raise tarfile.ReadError(f"a header of it has {found.size} bytes")
        return found


class _Stream(io.RawIOBase):
    """A file over pieces of bytes, for reading once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer at the end only."""
        parts: list[bytes] = []
        while size:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
                continue
            part = self._rest[:size]
            self._rest = self._rest[len(part) :]
            size -= len(part)
            parts.append(bytes(part))
        return b"".join(parts)
