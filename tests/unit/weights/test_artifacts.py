"""The list of what a pod needs, as it comes in the ConfigMap: exactly the approved one, or nothing happens."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

import builders
from holdfast.api.manifest import manifest_bytes
from holdfast.api.model import Model
from holdfast.domain.artifacts import artifacts_bytes, artifacts_digest
from holdfast.weights.artifacts import VOLUME_MANIFEST, HubOrigin, OciOrigin, VolumeOrigin, read_artifacts, read_manifest
from holdfast.weights.errors import WeightsMismatchError
from testbed.hub import HubServer
from unit.weights.conftest import CONTENT, Json, Pod, approved, artifact

HUB: Json = {"huggingFace": {"endpoint": "https://huggingface.co", "repository": "lab/model", "commit": "a" * 40}}
OCI: Json = {"oci": {"reference": "registry.example/model@sha256:" + "b" * 64}}
VOLUME: Json = {"volume": {"claimName": "models", "path": "chat"}}


def read(folder: Path, content: bytes) -> Any:
    path = folder / "artifacts.json"
    path.write_bytes(content)
    return read_artifacts(path, f"sha256:{hashlib.sha256(content).hexdigest()}")


def listed(*entries: Json) -> bytes:
    return rfc8785.dumps({"artifacts": list(entries)})


def test_every_kind_of_source_is_read(tmp_path: Path) -> None:
    entries = (artifact(CONTENT, HUB), artifact(CONTENT, OCI, name="tokenizer"), artifact(CONTENT, VOLUME, name="adapter-a.b_c"))
    found = read(tmp_path, listed(*entries))
    assert [type(entry.origin) for entry in found] == [HubOrigin, OciOrigin, VolumeOrigin]
    assert [entry.name for entry in found] == ["model", "tokenizer", "adapter-a.b_c"]
    assert found[0].files == tuple(approved(CONTENT))


def test_only_a_volume_may_come_without_a_list_of_files(tmp_path: Path) -> None:
    bare = {key: value for key, value in artifact(CONTENT, VOLUME).items() if key != "files"}
    assert read(tmp_path, listed(bare))[0].files is None
    with pytest.raises(WeightsMismatchError, match="model has no files"):
        read(tmp_path, listed(bare | {"source": HUB}))


def test_the_operators_list_is_read(tmp_path: Path) -> None:
    model = builders.resolved(Model.model_validate(builders.model()))
    path = tmp_path / "artifacts.json"
    path.write_bytes(artifacts_bytes(model))
    assert read_artifacts(path, artifacts_digest(model))[0].manifest_digest == model.source.manifest_digest


def test_another_list_is_refused_before_the_network(pod: Pod, hub: HubServer) -> None:
    pod.artifacts.write_bytes(pod.artifacts.read_bytes().replace(b"config", b"konfig"))
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert "not the approved one" in outcome.message
    assert hub.admin.requests() == []


GOOD = artifact(CONTENT, HUB)
BAD: dict[str, bytes] = {
    "not JSON": b"not json",
    "not UTF-8": b'{"artifacts":"\xff"}',
    "not an object": b"[]",
    "nothing in it": listed(),
    "an unknown field": rfc8785.dumps({"artifacts": [GOOD], "more": 1}),
    "an unknown field of an artifact": listed(GOOD | {"more": 1}),
    "two of a name": listed(GOOD, GOOD),
    "a name that is a path": listed(GOOD | {"name": "../model"}),
    "no digest": listed(GOOD | {"manifestDigest": "sha256:short"}),
    "another digest": listed(GOOD | {"manifestDigest": "sha256:" + "0" * 64}),
    "two sources": listed(GOOD | {"source": HUB | OCI}),
    "an unknown source": listed(GOOD | {"source": {"http": {"url": "x"}}}),
    "a source without its fields": listed(GOOD | {"source": {"oci": {}}}),
    "a source with a control character": listed(GOOD | {"source": {"oci": {"reference": "a\nb"}}}),
    "no files": listed(GOOD | {"files": []}),
    "files that are no list": listed(GOOD | {"files": {}}),
    "a path that leaves": listed(artifact({"../escape": b"x"}, HUB)),
    "an absolute path": listed(artifact({"/etc/passwd": b"x"}, HUB)),
    "paths that differ by case": listed(artifact({"a": b"x", "A": b"y"}, HUB)),
    "a file below a file": listed(artifact({"a": b"x", "a/b": b"y"}, HUB)),
    "a short sha256": listed(GOOD | {"files": [{"path": "a", "sha256": "short", "size": 1}]}),
    "a negative size": listed(GOOD | {"files": [{"path": "a", "sha256": "0" * 64, "size": -1}]}),
    "a size that is no number": listed(GOOD | {"files": [{"path": "a", "sha256": "0" * 64, "size": True}]}),
    "the same name twice": listed(GOOD).replace(b'"name":"model"', b'"name":"model","name":"model"'),
    "no number": listed(GOOD).replace(b'"size":0', b'"size":NaN'),
    "nested without end": b"[" * 200_000,
    "a lone surrogate": listed(GOOD).replace(b"config.json", b"\\ud800.json"),
    "too long": b'{"artifacts":"' + b"x" * 1024 * 1024 + b'"}',
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_list_that_cannot_be_right_is_refused_though_its_digest_is(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WeightsMismatchError, match=r"artifacts\.json"):
        read(tmp_path, content)


def test_a_volumes_own_list_has_to_be_canonical(tmp_path: Path) -> None:
    path = tmp_path / VOLUME_MANIFEST
    canonical = manifest_bytes(approved(CONTENT))
    path.write_bytes(canonical)
    assert read_manifest(path, f"sha256:{hashlib.sha256(canonical).hexdigest()}") == tuple(approved(CONTENT))
    spaced = json.dumps(json.loads(canonical)).encode()
    path.write_bytes(spaced)
    with pytest.raises(WeightsMismatchError, match="canonical"):
        read_manifest(path, f"sha256:{hashlib.sha256(spaced).hexdigest()}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=10,
)


def somewhere(value: Any, chooser: st.DataObject, new: Any) -> Any:
    """The value with one part of it replaced."""
    if isinstance(value, dict) and value and chooser.draw(st.booleans()):
        key = chooser.draw(st.sampled_from(sorted(value)))
        return value | {key: somewhere(value[key], chooser, new)}
    if isinstance(value, list) and value and chooser.draw(st.booleans()):
        index = chooser.draw(st.integers(0, len(value) - 1))
        return [*value[:index], somewhere(value[index], chooser, new), *value[index + 1 :]]
    return new


@given(chooser=st.data(), new=JSON)
def test_a_list_with_anything_in_any_place_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, chooser: st.DataObject, new: Any
) -> None:
    changed = somewhere({"artifacts": [GOOD]}, chooser, new)
    content = json.dumps(changed).encode()
    try:
        (found,) = read(tmp_path_factory.getbasetemp(), content)
    except WeightsMismatchError:
        return
    assert manifest_bytes(found.files) == manifest_bytes(approved(CONTENT))


@given(content=st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.raises(WeightsMismatchError):
        read(tmp_path_factory.getbasetemp(), content)
