"""The header of a safetensors file: refused when an engine that trusts it could read outside the file.

Format (https://github.com/huggingface/safetensors#format): eight bytes with the header's length, little-endian; the header, a JSON
object that begins with ``{`` and may end in spaces; then the tensors' bytes, all of them used, without holes or overlaps. The
Hub's own client reads headers up to 25 MB.
"""

import errno
import json
import os
import threading
from dataclasses import dataclass
from math import prod
from typing import Any, Final

SUFFIX: Final = ".safetensors"
HEADER_MAX_BYTES: Final = 25_000_000
_LENGTH_BYTES: Final = 8
_SIZE_MAX: Final = 2**63 - 1
_METADATA: Final = "__metadata__"
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
}  # fmt: skip
_one_at_a_time: Final = threading.Lock()  # the largest header takes more than 100 MB while it is read


@dataclass(frozen=True, slots=True)
class _Tensor:
    begin: int
    end: int


def header_problem(descriptor: int, size: int) -> str | None:
    """Say what is wrong with the header of an open safetensors file of `size` bytes, or None when it may be used.

    Raises:
        OSError: the file cannot be read.
    """
    if size < _LENGTH_BYTES:
        return f"expected a length of {_LENGTH_BYTES} bytes at its beginning, found {size} bytes"
    length = int.from_bytes(_read(descriptor, _LENGTH_BYTES, 0), "little")
    if length > HEADER_MAX_BYTES:
        return f"expected a header of at most {HEADER_MAX_BYTES} bytes, found one of {length}"
    if length > size - _LENGTH_BYTES:
        return f"expected a header within the file's {size} bytes, found one of {length}"
    with _one_at_a_time:
        content = _read(descriptor, length, _LENGTH_BYTES)
        if not content.startswith(b"{"):
            return "expected a header that begins with '{', found something else"
        try:
            tensors = _tensors(content)
        except (ValueError, RecursionError) as error:
            return f"expected a header of tensors in JSON, found {str(error)[:200]}"
        return _layout_problem(tensors, size - _LENGTH_BYTES - length)


def _tensors(content: bytes) -> list[_Tensor]:
    header = json.loads(content.decode("utf-8"), object_pairs_hook=_condensed)
    if not isinstance(header, dict):
        raise ValueError("one tensor instead of names")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{_METADATA} that is not texts by name")
    tensors = [value for value in header.values() if isinstance(value, _Tensor)]
    if len(tensors) != len(header):
        raise ValueError("an entry that is not a tensor")
    return tensors


def _condensed(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Tensor:
    """Keep of each tensor two numbers, as soon as it is read: memory stays small however many there are."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name that is given twice")
    if not isinstance(found.get("data_offsets"), list):
        return found
    if found.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("a tensor with unknown or missing fields")
    dtype, shape, offsets = found["dtype"], found["shape"], found["data_offsets"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or not all(map(_is_size, (*shape, *offsets))):
        raise ValueError("a tensor whose type, shape or offsets are malformed")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError("a tensor that ends before it begins")
    bits = _BITS.get(dtype)
    # A type of a later version of the format is let through: only its place in the file is known here.
    if bits is not None and prod(shape) * bits != (offsets[1] - offsets[0]) * 8:
        raise ValueError("a tensor whose shape and type do not fill its offsets")
    return _Tensor(offsets[0], offsets[1])


def _layout_problem(tensors: list[_Tensor], length: int) -> str | None:
    position = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != position:
            kind = "overlap" if tensor.begin < position else "leave a hole"
            return f"expected tensors without gaps, found some that {kind} at byte {min(position, tensor.begin)} of the data"
        position = tensor.end
    if position != length:
        return f"expected tensors that fill the {length} bytes of data, found {position} bytes of tensors"
    return None


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _SIZE_MAX


def _read(descriptor: int, length: int, offset: int) -> bytes:
    content = bytearray()
    while len(content) < length:
        piece = os.pread(descriptor, length - len(content), offset + len(content))
        if not piece:
            raise OSError(errno.EIO, "the file ended while its header was read")
        content += piece
    return bytes(content)
