"""Models that are artifacts or images in a registry."""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.sources.hub_errors import SourceUnusableError
from holdfast.sources.oci_blobs import parse_layers
from unit.weights.conftest import CONTENT, REPOSITORY, Pod, artifact, make_deletable
from unit.weights.registry import IMAGE, INDEX, MODELKIT, RAW, Registry, archive

FILLED = {path: data for path, data in CONTENT.items() if data}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    made = Pod(folder=tmp_path / "pod", endpoint="http://127.0.0.1:1", commit="0" * 40, repository=REPOSITORY)
    yield made
    make_deletable(made.cache)


def point(pod: Pod, reference: str) -> None:
    pod.list_artifacts(artifact(pod.content, {"oci": {"reference": reference}}))


def raw(registry: Registry) -> str:
    """A ModelPack: each file is a layer."""
    return registry.push(*((RAW, data, {"org.cncf.model.filepath": path}) for path, data in FILLED.items()))


def modelkit(registry: Registry) -> str:
    """A ModelKit: each file is an archive of its own."""
    return registry.push(*((MODELKIT, archive({path: data}), {}) for path, data in CONTENT.items()))


def modelcar(registry: Registry) -> str:
    """An image with the model below /models, and other things elsewhere."""
    base = archive({"bin/sh": b"#!", "models": b""} | {"config.json": b"not the model's"})
    model = archive({f"./models/{path}": data for path, data in CONTENT.items()})
    return registry.push((IMAGE, base, {}), (IMAGE, model, {}))


def index(registry: Registry) -> str:
    digest = modelcar(registry).rpartition("@")[2]
    return registry.push_manifest(
        {
            "mediaType": INDEX,
            "manifests": [
                {"digest": "sha256:" + "0" * 64, "platform": {"os": "unknown", "architecture": "unknown"}},
                {"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}},
                {"digest": digest, "platform": {"os": "linux", "architecture": "arm64"}},
            ],
        }
    )


KINDS = {"modelpack": raw, "modelkit": modelkit, "modelcar": modelcar, "index": index}


@pytest.mark.parametrize("push", KINDS.values(), ids=KINDS)
def test_every_kind_of_artifact_becomes_the_approved_files(pod: Pod, registry: Registry, push: Any) -> None:
    point(pod, push(registry))
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT


@pytest.mark.parametrize("push", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("redirect", [False, True])
def test_tokens_that_expire_are_renewed_and_go_to_the_registry_only(
    pod: Pod, registry: Registry, push: Any, redirect: bool
) -> None:
    point(pod, push(registry))
    registry.uses, registry.redirect = 4, redirect
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT
    assert len([path for path, _, _ in registry.requests if path.startswith("/token")]) > 1
    assert {authorization for path, _, authorization in registry.requests if path.startswith("/store/")} <= {None}


def test_credentials_come_from_the_file_and_show_nowhere(pod: Pod, registry: Registry, tmp_path: Path) -> None:
    point(pod, raw(registry))
    login = base64.b64encode(b"team:very-secret").decode()
    registry.uses, registry.login = 100, login
    assert pod.fetch().status == 4
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"username": "team", "password": "very-secret"}}}))
    outcome = pod.fetch(f"--registry-credentials={tmp_path / 'config.json'}")
    assert outcome.status == 0
    assert "very-secret" not in outcome.output
    assert login not in outcome.output


def test_a_mirror_is_asked_instead(pod: Pod, registry: Registry) -> None:
    reference = raw(registry)
    point(pod, "registry.invalid/" + reference.partition("/")[2])
    assert pod.fetch(f"--mirror=http://{registry.host}").status == 0
    assert pod.served() == CONTENT


def test_other_bytes_of_a_raw_layer_never_become_an_entry(pod: Pod, registry: Registry) -> None:
    point(pod, raw(registry))
    for digest, data in registry.blobs.items():
        if len(data) > 100_000:
            registry.blobs[digest] = data[:-1] + b"x"
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert "'model.safetensors': expected" in outcome.message
    assert not pod.entry.exists()


@pytest.mark.parametrize("push", [modelkit, modelcar])
def test_other_bytes_in_an_archive_never_become_an_entry(pod: Pod, registry: Registry, push: Any) -> None:
    good = dict(CONTENT)
    try:
        CONTENT["config.json"] = good["config.json"].replace(b"Qwen2", b"Qwen3")
        point(pod, push(registry))
    finally:
        CONTENT.update(good)
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert "'config.json': expected" in outcome.message
    assert not pod.entry.exists()


def test_a_file_that_no_layer_has_is_named(pod: Pod, registry: Registry) -> None:
    point(pod, registry.push((MODELKIT, archive({"config.json": CONTENT["config.json"]}), {})))
    outcome = pod.fetch()
    assert outcome.status == 3
    assert "'model.safetensors': expected" in outcome.message
    assert "found nothing" in outcome.message


@pytest.mark.parametrize("push", KINDS.values(), ids=KINDS)
def test_a_broken_connection_goes_on_where_it_broke(pod: Pod, registry: Registry, push: Any) -> None:
    point(pod, push(registry))
    registry.drop_after = 10
    assert pod.fetch().status == 0
    assert [asked for _, asked, _ in registry.requests if asked]
    assert pod.served() == CONTENT


def test_several_gzip_streams_in_a_row_are_one_layer(pod: Pod, registry: Registry) -> None:
    plain = archive(CONTENT, compressed=False)
    point(pod, registry.push((MODELKIT, gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]), {})))
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT


@pytest.mark.parametrize(
    "layer",
    [b"nonsense", gzip.compress(b"nonsense" * 200), archive(CONTENT)[:5000]],
    ids=["not gzip", "not tar", "cut off"],
)
def test_a_layer_that_is_no_archive_is_refused(pod: Pod, registry: Registry, layer: bytes) -> None:
    point(pod, registry.push((MODELKIT, layer, {})))
    outcome = pod.fetch()
    assert outcome.status in (3, 4)
    assert outcome.termination["reason"] in ("WeightsMismatch", "WeightsUnavailable")
    assert not pod.entry.exists()


def test_a_layer_with_other_bytes_behind_its_files_is_refused(pod: Pod, registry: Registry) -> None:
    layer = archive(CONTENT, compressed=False)
    point(pod, registry.push(("application/vnd.kitops.modelkit.model.v1.tar", layer, {})))
    (digest,) = registry.blobs
    registry.blobs[digest] = layer[:-1] + b"x"
    outcome = pod.fetch()
    assert outcome.status == 3
    assert "layer sha256:" in outcome.message


def test_names_that_leave_the_folder_are_not_written(pod: Pod, registry: Registry) -> None:
    evil = archive({"../escape": b"x", "/tmp/escape": b"x", "nested/../../escape": b"x"} | CONTENT)
    point(pod, registry.push((MODELKIT, evil, {})))
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT
    assert [path.name for path in pod.folder.rglob("escape")] == []


def test_a_manifest_that_is_not_the_pinned_one_is_refused(pod: Pod, registry: Registry) -> None:
    reference = raw(registry)
    point(pod, reference)
    registry.manifests[reference.rpartition("@")[2]] += b" "
    outcome = pod.fetch()
    assert outcome.status == 4
    assert "something between here and the registry changes" in outcome.message


def test_layers_packed_with_zstd_are_said_to_be_unsupported(pod: Pod, registry: Registry) -> None:
    point(pod, registry.push(("application/vnd.cncf.model.weight.v1.tar+zstd", b"x", {})))
    outcome = pod.fetch()
    assert outcome.status == 4
    assert "push the files as raw layers" in outcome.message


def test_an_index_of_itself_comes_to_an_end(pod: Pod, registry: Registry) -> None:
    inner = registry.push_manifest({"manifests": []})
    for _ in range(6):
        inner = registry.push_manifest({"manifests": [{"digest": inner.rpartition("@")[2]}]})
    point(pod, inner)
    outcome = pod.fetch()
    assert outcome.status == 4
    assert "without end" in outcome.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
LAYER = st.fixed_dictionaries({"mediaType": JSON | st.just(RAW), "digest": JSON | st.just("sha256:" + "a" * 64), "size": JSON})


@given(manifest=st.dictionaries(st.sampled_from(["layers", "config"]), st.lists(LAYER | JSON) | JSON, max_size=2))
def test_any_manifest_is_taken_or_refused(manifest: dict[str, Any]) -> None:
    try:
        layers = parse_layers(manifest, "lab/model")
    except SourceUnusableError:
        return
    assert all(len(layer.sha256) == 64 and layer.size >= 0 for layer in layers)
