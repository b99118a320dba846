"""The test vectors of the identity: input, canonical bytes and digest, the same for every version of everything, for ever.

A file that is there is never written again. For a new case in `vector_cases` run ``HOLDFAST_VECTORS=write pytest`` on this file.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from holdfast.api.revision import ResolvedModel
from holdfast.domain.pin import pin_digest
from unit.pin.vector_cases import VECTORS

FOLDER = Path(__file__).parents[2] / "vectors" / "pin"
FILES = sorted(FOLDER.glob("*.json"))


def test_there_is_a_file_for_each_case_and_a_case_for_each_file() -> None:
    if os.environ.get("HOLDFAST_VECTORS") == "write":
        for name, wire in VECTORS.items():
            path = FOLDER / f"{name}.json"
            if not path.exists():
                model = ResolvedModel.parse(wire)
                vector = {"input": wire, "canonical": rfc8785.dumps(model.wire()).decode(), "digest": pin_digest(model)}
                path.write_text(json.dumps(vector, indent=1) + "\n", encoding="ascii")
    assert {path.stem for path in FOLDER.glob("*.json")} == VECTORS.keys()
    assert len(VECTORS) >= 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_digest_of_a_vector_never_changes(path: Path) -> None:
    vector = json.loads(path.read_text(encoding="ascii"))
    model = ResolvedModel.parse(vector["input"])
    assert rfc8785.dumps(model.wire()).decode() == vector["canonical"]
    assert pin_digest(model) == vector["digest"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_canonical_bytes_are_the_input_and_nothing_else(path: Path) -> None:
    """Without a line of Holdfast: another program that reads RFC 8785 and the input comes to the same digest."""
    vector = json.loads(path.read_text(encoding="ascii"))
    canonical = vector["canonical"].encode()
    assert json.loads(canonical) == vector["input"]
    assert list(_keys(json.loads(canonical))) == sorted(_keys(json.loads(canonical)), key=_place)
    assert f"v1:{hashlib.sha256(canonical).hexdigest()}" == vector["digest"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_input_is_still_the_case(path: Path) -> None:
    assert json.loads(path.read_text(encoding="ascii"))["input"] == VECTORS[path.stem]


def test_no_two_models_share_a_digest() -> None:
    digests = [json.loads(path.read_text(encoding="ascii"))["digest"] for path in FILES]
    assert len(set(digests)) == len(digests)


def _keys(value: Any, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return where every value is, in the order in which they are written."""
    if isinstance(value, dict):
        return [place for key, inner in value.items() for place in [(*at, key), *_keys(inner, (*at, key))]]
    if isinstance(value, list):
        return [place for index, inner in enumerate(value) for place in _keys(inner, (*at, index))]
    return []


def _place(key: tuple[object, ...]) -> list[tuple[int, int, str]]:
    return [(0, part, "") if isinstance(part, int) else (1, 0, str(part)) for part in key]
