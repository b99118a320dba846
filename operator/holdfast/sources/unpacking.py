"""Unpacks gzip and zstd as they stream by, in bounded memory, and stops at what unpacks without end.

gzip: RFC 1952. zstd: RFC 8878; its frames say how much memory unpacking them takes (the window), and may repeat one byte 128 KiB long.
"""

import sys
import zlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OUTPUT_BYTES: Final = 2 * 1024 * 1024
"""The largest piece that is unpacked at once."""
WINDOW_LOG_MAX: Final = 25
"""32 MiB: what ``zstd -19`` and the packers of container images stay below by far (8 MiB), and what RFC 8878 §3.1.1.1.2 asks for thrice."""
RATIO_MAX: Final = 1032
"""Bytes that gzip can make of one (RFC 1951: 258 bytes for two bits). No weights are packed so well."""
_ALLOWANCE: Final = 16 * 1024 * 1024


class Packing(StrEnum):
    """How the bytes of a layer are packed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class UnpackingError(Exception):
    """The bytes are not what they are said to be, or would take too much. The text goes on after the name of the layer."""


class Unpacker(Protocol):
    """Takes packed bytes and gives what they stand for."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece unpacks to.

        Raises:
            UnpackingError: it does not.
        """


def unpacker(packing: Packing) -> Unpacker:
    """Return what unpacks one stream."""
    match packing:
        case Packing.NONE:
            return _Plain()
        case Packing.GZIP:
            return _Gzip()
        case Packing.ZSTD:
            return _Zstd()


class _Plain:
    def feed(self, piece: bytes) -> Iterator[bytes]:
        yield piece


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        try:
            while piece:
                yield self._stream.decompress(piece, OUTPUT_BYTES)
                piece = self._stream.unconsumed_tail
                if self._stream.eof:  # gzip files may be several in a row (RFC 1952 §2.2)
                    piece, self._stream = self._stream.unused_data, zlib.decompressobj(wbits=31)
        except zlib.error as error:
            raise UnpackingError("is not gzip") from error


class _Zstd:
    def __init__(self) -> None:
        self._stream = _zstd_stream()
        self._taken = self._made = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        self._taken += len(piece)
        try:
            while piece or not (self._stream.needs_input or self._stream.eof):
                made = self._stream.decompress(piece, OUTPUT_BYTES)
                piece = b""  # it keeps what it could not take yet
                self._made += len(made)
                if self._made > self._taken * RATIO_MAX + _ALLOWANCE:
                    raise UnpackingError(f"unpacks to more than {RATIO_MAX} times its size, as no weights do")
                yield made
                if self._stream.eof:  # frames may be several in a row, and some hold nothing to unpack (RFC 8878 §3.1)
                    piece, self._stream = self._stream.unused_data, _zstd_stream()
        except zstd.ZstdError as error:
            if "memory" in str(error):
                room = 2 ** (WINDOW_LOG_MAX - 20)
                raise UnpackingError(
                    f"needs more than {room} MiB of memory to unpack; pack it with zstd -19 or a lower level, and without --long"
                ) from error
            raise UnpackingError("is not zstd") from error


def _zstd_stream() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})
