"""The header of a safetensors file: refused when an engine that trusts it could read outside the file.

Format (https://github.com/huggingface/safetensors#format): eight bytes with the header's length, little-endian; the header, a JSON
object that begins with ``{`` and may end in spaces; then the tensors' bytes, all of them used, without holes or overlaps. The
Hub's own client reads headers up to 25 MB.
"""

import codecs
import errno
import json
import os
import re
import threading
from math import prod
from typing import Any, Final

SUFFIX: Final = ".safetensors"
HEADER_MAX_BYTES: Final = 25_000_000
_LENGTH_BYTES: Final = 8
_SIZE_MAX: Final = 2**63 - 1
_METADATA: Final = b'"__metadata__"'
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
}  # fmt: skip
_one_at_a_time: Final = threading.Lock()  # the largest header takes 100 MB while it is read


_SPACE: Final = rb"[ \t\n\r]*+"
_TEXT: Final = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
_NAME: Final = re.compile(_SPACE + b"(" + _TEXT + b")" + _SPACE + b":" + _SPACE)
_TENSOR: Final = re.compile(rb"\{[^{}]{0,4096}+\}")
_PAIR: Final = re.compile(_SPACE + _TEXT + _SPACE + b":" + _SPACE + _TEXT)
_NEXT: Final = re.compile(_SPACE + b"([,}])")
_BEGIN: Final = re.compile(rb"\{" + _SPACE + rb"(\}?)")
_SHIFT: Final = 64


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


def _tensors(content: bytes) -> list[int]:
    """Return of each tensor one number: where it begins, shifted, and where it ends.

    Entry by entry: as a whole, JSON of this length can take many times its size in memory.
    """
    codecs.decode(content, "utf-8")
    found: list[int] = []
    names: set[bytes] = set()
    position, more = _begun(content, 0)
    while more:
        match = _NAME.match(content, position)
        if match is None:
            raise ValueError(f"something else than a name at byte {position}")
        name, position = _plain(match[1]), match.end()
        if name in names:
            raise ValueError("a name that is given twice")
        names.add(name)
        if name == _METADATA:
            position = _after_texts(content, position)
        else:
            value = _TENSOR.match(content, position)
            if value is None:
                raise ValueError(f"something else than a tensor at byte {position}")
            found.append(_tensor(json.loads(value[0], object_pairs_hook=_once)))
            position = value.end()
        position, more = _next(content, position)
    if content[position:].strip(b" \t\n\r"):
        raise ValueError(f"more after its end at byte {position}")
    return found


def _plain(name: bytes) -> bytes:
    """Return a name without escapes, so that one name has one spelling."""
    if b"\\" not in name:
        return name
    plain: str = json.loads(name)
    return b'"' + plain.encode("utf-8", "surrogatepass") + b'"'


def _begun(content: bytes, position: int) -> tuple[int, bool]:
    """Return where an object's first entry is, and whether it has any."""
    match = _BEGIN.match(content, position)
    if match is None:
        raise ValueError(f"something else than an object at byte {position}")
    return match.end(), not match[1]


def _next(content: bytes, position: int) -> tuple[int, bool]:
    """Return where an object's next entry is, and whether there is one."""
    match = _NEXT.match(content, position)
    if match is None:
        raise ValueError(f"an entry that does not end at byte {position}")
    return match.end(), match[1] == b","


def _after_texts(content: bytes, position: int) -> int:
    """Return where an object ends that has nothing but texts by name."""
    position, more = _begun(content, position)
    while more:
        match = _PAIR.match(content, position)
        if match is None:
            raise ValueError(f"metadata that is not texts by name at byte {position}")
        position, more = _next(content, match.end())
    return position


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name that is given twice")
    return found


def _tensor(fields: Any) -> int:
    if fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("a tensor with unknown or missing fields")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(offsets, list):
        raise ValueError("a tensor whose type, shape or offsets are malformed")
    if not all(map(_is_size, (*shape, *offsets))) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError("a tensor whose shape or offsets are malformed")
    bits = _BITS.get(dtype)
    # A type of a later version of the format is let through: only its place in the file is known here.
    if bits is not None and prod(shape) * bits != (offsets[1] - offsets[0]) * 8:
        raise ValueError("a tensor whose shape and type do not fill its offsets")
    return int(offsets[0] << _SHIFT | offsets[1])


def _layout_problem(tensors: list[int], length: int) -> str | None:
    tensors.sort()
    position = 0
    for tensor in tensors:
        begin, end = tensor >> _SHIFT, tensor & ((1 << _SHIFT) - 1)
        if begin != position:
            kind = "overlap" if begin < position else "leave a hole"
            return f"expected tensors without gaps, found some that {kind} at byte {min(position, begin)} of the data"
        position = end
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
