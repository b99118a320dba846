"""What is packed comes out as it was, in bounded memory, and what would unpack without end does not."""

import gzip
import os
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.sources.unpacking import OUTPUT_BYTES, RATIO_MAX, Packing, UnpackingError, unpacker
from unit.registry import zstd

PACKERS: dict[Packing, Callable[[bytes], bytes]] = {
    Packing.NONE: bytes,
    Packing.GZIP: gzip.compress,
    Packing.ZSTD: zstd.compress,
}
SKIPPABLE = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"any"
"""A frame that holds nothing (RFC 8878 §3.1.2)."""


def unpacked(packing: Packing, packed: bytes, size: int = 512 * 1024) -> Iterator[bytes]:
    stream = unpacker(packing)
    for start in range(0, len(packed), size):
        yield from stream.feed(packed[start : start + size])


@given(
    packing=st.sampled_from(Packing),
    parts=st.lists(st.binary(max_size=400) | st.integers(0, 9000).map(bytes), max_size=5),
    size=st.integers(1, 700),
)
def test_whatever_was_packed_comes_out_however_it_arrives(packing: Packing, parts: list[bytes], size: int) -> None:
    packed = b"".join(PACKERS[packing](part) for part in parts)
    assert b"".join(unpacked(packing, packed, size)) == b"".join(parts)


def test_frames_that_hold_nothing_are_passed_over() -> None:
    packed = SKIPPABLE + zstd.compress(b"one") + SKIPPABLE + SKIPPABLE + zstd.compress(b"two") + SKIPPABLE
    for size in (1, 2, 7, 1000):
        assert b"".join(unpacked(Packing.ZSTD, packed, size)) == b"onetwo"


@given(
    packing=st.sampled_from([Packing.GZIP, Packing.ZSTD]), noise=st.binary(min_size=1, max_size=60), seed=st.integers(0, 10**6)
)
def test_spoilt_bytes_are_refused_or_unpack_to_something(packing: Packing, noise: bytes, seed: int) -> None:
    packed = bytearray(PACKERS[packing](b"a model's weights, several times over " * 20))
    where = random.Random(seed).randrange(len(packed))  # noqa: S311 - a place to spoil
    packed[where : where + len(noise)] = noise
    try:
        assert sum(map(len, unpacked(packing, bytes(packed)))) <= len(packed) * RATIO_MAX + (1 << 25)
    except UnpackingError as error:
        assert str(error).startswith(("is not", "needs more", "unpacks to"))  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_pieces_stay_small_whatever_they_unpack_to(packing: Packing) -> None:
    content = random.Random(0).randbytes(16 * 1024) * 1900  # noqa: S311 - bytes to pack
    sizes = [len(piece) for piece in unpacked(packing, PACKERS[packing](content))]
    assert sum(sizes) == len(content)
    assert max(sizes) <= OUTPUT_BYTES


def test_no_weights_are_packed_a_thousandfold() -> None:
    bomb = zstd.compress(bytes(256 * 1024 * 1024))
    made: list[int] = []
    with pytest.raises(UnpackingError, match="unpacks to more than 1032 times its size"):
        made.extend(len(piece) for piece in unpacked(Packing.ZSTD, bomb))
    assert sum(made) <= len(bomb) * RATIO_MAX + 16 * 1024 * 1024


def test_what_gzip_packs_best_zstd_may_pack_as_well() -> None:
    """The limit is that of gzip, so repacking an artifact changes nothing."""
    content = bytes(24 * 1024 * 1024) + os.urandom(64 * 1024)
    assert len(gzip.compress(content)) * RATIO_MAX > len(content)
    assert sum(map(len, unpacked(Packing.ZSTD, zstd.compress(content)))) == len(content)


@pytest.mark.parametrize(("window_log", "taken"), [(23, True), (25, True), (26, False), (27, False)])
def test_a_window_takes_no_more_than_32_mib(window_log: int, taken: bool) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
    packed = compressor.compress(b"weights") + compressor.flush()  # the size is not known, so the frame names its window
    if taken:
        assert b"".join(unpacked(Packing.ZSTD, packed)) == b"weights"
        return
    with pytest.raises(UnpackingError, match=r"needs more than 32 MiB of memory to unpack; pack it with zstd -19"):
        list(unpacked(Packing.ZSTD, packed))


def test_what_python_holds_of_it_stays_bounded() -> None:
    packed = zstd.compress(random.Random(0).randbytes(8 * 1024 * 1024) * 3)  # noqa: S311 - bytes to pack
    tracemalloc.start()
    try:
        for piece in unpacked(Packing.ZSTD, packed):
            del piece
        assert tracemalloc.get_traced_memory()[1] < 8 * OUTPUT_BYTES
    finally:
        tracemalloc.stop()


def test_gzip_makes_no_more_of_a_byte_than_is_said() -> None:
    """RFC 1951: 258 bytes for a length code and a distance code of one bit each."""
    content = bytes(64 * 1024 * 1024)
    assert len(content) / len(zlib.compress(content, 9)) < RATIO_MAX
