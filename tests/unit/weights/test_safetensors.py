"""Headers of safetensors files: what the format allows is taken, nothing else is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.weights.safetensors import HEADER_MAX_BYTES, header_problem

Header = dict[str, Any]


def problem(tmp_path: Path, content: bytes) -> str | None:
    path = tmp_path / "file"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return header_problem(descriptor, len(content))
    finally:
        os.close(descriptor)


def packed(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def written(header: Header, data: bytes = b"") -> bytes:
    return packed(json.dumps(header).encode(), data)


def tensor(begin: int, end: int, *, dtype: str = "U8", shape: list[int] | None = None) -> Header:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


GOOD: dict[str, bytes] = {
    "no tensors": written({}),
    "one": written({"a": tensor(0, 4)}, bytes(4)),
    "two in any order": written({"b": tensor(4, 6), "a": tensor(0, 4)}, bytes(6)),
    "metadata": written({"__metadata__": {"format": "pt"}, "a": tensor(0, 1)}, b"x"),
    "padded with spaces": packed(json.dumps({"a": tensor(0, 1)}).encode() + b"   ", b"x"),
    "scalar": written({"a": tensor(0, 4, dtype="F32", shape=[])}, bytes(4)),
    "empty tensor": written({"a": tensor(0, 0, shape=[0, 5]), "b": tensor(0, 2)}, bytes(2)),
    "four bits": written({"a": tensor(0, 2, dtype="F4", shape=[4])}, bytes(2)),
    "a type of a later version": written({"a": tensor(0, 3, dtype="F128", shape=[7])}, bytes(3)),
    "a tensor that is called like a field": written({"data_offsets": tensor(0, 1)}, b"x"),
}
BAD: dict[str, bytes] = {
    "empty": b"",
    "too short for a length": bytes(7),
    "length beyond the file": (100).to_bytes(8, "little") + b"{}",
    "enormous length": (2**63).to_bytes(8, "little") + b"{}",
    "not JSON": packed(b"{nonsense"),
    "space first": packed(b" {}"),
    "a list": packed(b"[]"),
    "not UTF-8": packed(b'{"\xff": 1}'),
    "a tensor alone": packed(json.dumps(tensor(0, 0)).encode()),
    "a number for a tensor": written({"a": 1}),
    "metadata that is not texts": written({"__metadata__": {"a": 1}}),
    "metadata that is a tensor": written({"__metadata__": tensor(0, 0)}),
    "the same name twice": packed(
        b'{"a":' + json.dumps(tensor(0, 0)).encode() + b',"a":' + json.dumps(tensor(0, 0)).encode() + b"}"
    ),
    "the same name in two spellings": packed(
        b'{"a":' + json.dumps(tensor(0, 0)).encode() + b',"\\u0061":' + json.dumps(tensor(0, 0)).encode() + b"}"
    ),
    "more after its end": packed(b"{}{}"),
    "a comma too many": packed(b'{"a":' + json.dumps(tensor(0, 0)).encode() + b",}"),
    "a wrong escape": packed(rb'{"\q":' + json.dumps(tensor(0, 0)).encode() + b"}"),
    "unknown field": written({"a": tensor(0, 1) | {"x": 1}}, b"x"),
    "missing field": written({"a": {"shape": [1], "data_offsets": [0, 1]}}, b"x"),
    "beyond the end": written({"a": tensor(0, 5)}, bytes(4)),
    "before the beginning": written({"a": tensor(-1, 3)}, bytes(3)),
    "ends before it begins": written({"a": tensor(4, 0, shape=[0])}, bytes(4)),
    "overlap": written({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)),
    "hole": written({"a": tensor(0, 2), "b": tensor(4, 6)}, bytes(6)),
    "bytes that no tensor uses": written({"a": tensor(0, 2)}, bytes(6)),
    "shape that does not fill it": written({"a": tensor(0, 4, dtype="F32", shape=[2])}, bytes(4)),
    "huge offsets": written({"a": tensor(0, 2**64)}, b""),
    "a truth value for a number": packed(b'{"a":{"dtype":"U8","shape":[true],"data_offsets":[0,1]}}', b"x"),
    "a fraction": packed(b'{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', b"x"),
    "three offsets": packed(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', b"x"),
    "nested without end": packed(b'{"a":' * 100_000),
    "an enormous number": packed(b'{"a":' + b"9" * 10_000 + b"}"),
}


@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_what_the_format_allows_is_taken(tmp_path: Path, content: bytes) -> None:
    assert problem(tmp_path, content) is None


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_the_format_does_not_allow_is_refused(tmp_path: Path, content: bytes) -> None:
    found = problem(tmp_path, content)
    assert found is not None
    assert found.startswith("expected ")
    assert ", found " in found


def test_a_header_longer_than_the_bound_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write((HEADER_MAX_BYTES + 1).to_bytes(8, "little") + b"{")
        file.truncate(HEADER_MAX_BYTES + 100)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        found = header_problem(descriptor, HEADER_MAX_BYTES + 100)
    finally:
        os.close(descriptor)
    assert found == f"expected a header of at most {HEADER_MAX_BYTES} bytes, found one of {HEADER_MAX_BYTES + 1}"


BOMBS: dict[str, str] = {
    "tensors": """b",".join(b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(430_000))""",
    "metadata": """b'"__metadata__":{' + b",".join(b'"%x":"a"' % i for i in range(1_800_000)) + b"}" """,
    "lists": """b'"a":[' + b",".join(b"[]" for _ in range(8_000_000)) + b"]" """,
    "one text": """b'"__metadata__":{"a":"' + b"\\\\n" * 12_000_000 + b'"}' """,
}


@pytest.mark.parametrize("entries", BOMBS.values(), ids=BOMBS)
def test_the_longest_headers_stay_within_the_programs_memory(tmp_path: Path, entries: str) -> None:
    write = f"b = b'{{' + {entries} + b'}}'; open(sys.argv[1], 'wb').write(len(b).to_bytes(8, 'little') + b)"
    subprocess.run([sys.executable, "-c", f"import sys; {write}", str(tmp_path / "file")], check=True)
    assert 20_000_000 < (tmp_path / "file").stat().st_size < HEADER_MAX_BYTES
    look = (
        "import os, sys; from holdfast.weights.safetensors import header_problem;"
        "header_problem(os.open(sys.argv[1], os.O_RDONLY), os.stat(sys.argv[1]).st_size);"
        "print(open('/proc/self/status').read())"
    )
    done = subprocess.run([sys.executable, "-c", look, str(tmp_path / "file")], check=True, capture_output=True, text=True)
    # proc(5): of this program alone. getrusage(2) would count what the tests' own process was when it forked.
    (peak,) = (line.split()[1] for line in done.stdout.splitlines() if line.startswith("VmHWM:"))
    assert int(peak) < 180 * 1024


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
TENSORS = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["U8", "F32", "F4", "X"]) | JSON, "shape": JSON, "data_offsets": JSON | st.lists(st.integers(0, 8))}
)


@given(content=st.binary(max_size=200))
def test_any_bytes_have_an_answer(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    found = problem(tmp_path_factory.getbasetemp(), content)
    assert found is None or found.startswith("expected ")


@given(header=st.dictionaries(st.text(max_size=8), TENSORS | JSON, max_size=4), data=st.binary(max_size=8))
def test_any_header_has_an_answer(tmp_path_factory: pytest.TempPathFactory, header: Header, data: bytes) -> None:
    found = problem(tmp_path_factory.getbasetemp(), written(header, data))
    assert found is None or found.startswith("expected ")


@given(cuts=st.lists(st.integers(1, 9), max_size=6), change=st.integers(-2, 2), which=st.integers(0, 5))
def test_only_tensors_that_fill_the_file_exactly_are_taken(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], change: int, which: int
) -> None:
    header: Header = {}
    position = 0
    for index, size in enumerate(cuts):
        moved = change if index == which else 0
        header[f"t{index}"] = {"dtype": "X", "shape": [], "data_offsets": [position, position + size + moved]}
        position += size
    moved = change if which < len(cuts) else 0
    found = problem(tmp_path_factory.getbasetemp(), written(header, bytes(position)))
    assert (found is None) == (moved == 0)
