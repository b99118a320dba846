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
from unit.registry import IMAGE, IMAGE_ZSTD, INDEX, MODEL, MODELKIT, MODELPACK_ZSTD, RAW, RegistryStandIn, archive, zstd
from unit.weights.conftest import CONTENT, REPOSITORY, Pod, artifact, make_deletable

FILLED = {path: data for path, data in CONTENT.items() if data}


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    with RegistryStandIn() as running:
        yield running


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    made = Pod(folder=tmp_path / "pod", endpoint="http://127.0.0.1:1", commit="0" * 40, repository=REPOSITORY)
    yield made
    make_deletable(made.cache)


def point(pod: Pod, reference: str) -> None:
    pod.list_artifacts(artifact(pod.content, {"oci": {"reference": reference}}))


def push(registry: RegistryStandIn, *layers: tuple[str, bytes, dict[str, str]]) -> str:
    """Publish layers (media type, bytes, annotations) and return the reference."""
    return f"{registry.host}/{MODEL}@{registry.push_layers(MODEL, *layers)}"


def manifest(registry: RegistryStandIn, content: object) -> str:
    return f"{registry.host}/{MODEL}@{registry.push_manifest(MODEL, content)}"


def raw(registry: RegistryStandIn) -> str:
    """A ModelPack: each file is a layer."""
    return push(registry, *((RAW, data, {"org.cncf.model.filepath": path}) for path, data in FILLED.items()))


def modelkit(registry: RegistryStandIn) -> str:
    """A ModelKit: each file is an archive of its own."""
    return push(registry, *((MODELKIT, archive({path: data}), {}) for path, data in CONTENT.items()))


def modelcar(registry: RegistryStandIn) -> str:
    """An image with the model below /models, and other things elsewhere."""
    base = archive({"bin/sh": b"#!", "config.json": b"not the model's"}, folders=("models",))
    model = archive({f"./models/{path}": data for path, data in CONTENT.items()})
    return push(registry, (IMAGE, base, {}), (IMAGE, model, {}))


def index(registry: RegistryStandIn) -> str:
    digest = modelcar(registry).rpartition("@")[2]
    return manifest(
        registry,
        {
            "mediaType": INDEX,
            "manifests": [
                {"digest": "sha256:" + "0" * 64, "platform": {"os": "unknown", "architecture": "unknown"}},
                {"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}},
                {"digest": digest, "platform": {"os": "linux", "architecture": "arm64"}},
            ],
        },
    )


def modelpack_zstd(registry: RegistryStandIn) -> str:
    """A ModelPack with one archive of everything."""
    return push(registry, (MODELPACK_ZSTD, zstd.compress(archive(CONTENT, compressed=False)), {}))


def modelcar_zstd(registry: RegistryStandIn) -> str:
    """An image whose layers the builder packed in pieces, with a table of contents between that holds no file."""
    plain = archive({f"models/{path}": data for path, data in CONTENT.items()}, compressed=False)
    table = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"table"  # RFC 8878 §3.1.2
    packed = zstd.compress(plain[:7000]) + table + zstd.compress(plain[7000:]) + table
    return push(registry, (IMAGE_ZSTD, packed, {}))


KINDS = {
    "modelpack": raw,
    "modelkit": modelkit,
    "modelcar": modelcar,
    "index": index,
    "modelpack in zstd": modelpack_zstd,
    "modelcar in zstd": modelcar_zstd,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_of_artifact_becomes_the_approved_files(pod: Pod, registry: RegistryStandIn, kind: Any) -> None:
    point(pod, kind(registry))
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("redirect", [False, True])
def test_tokens_that_expire_are_renewed_and_go_to_the_registry_only(
    pod: Pod, registry: RegistryStandIn, kind: Any, redirect: bool
) -> None:
    point(pod, kind(registry))
    registry.access, registry.uses, registry.store = "token", 4, redirect
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT
    assert len([path for path in registry.paths if path.startswith("/token")]) > 1
    stored = [headers for _, path, headers in registry.requests if path.startswith("/store/")]
    assert bool(stored) is redirect
    assert all("authorization" not in headers for headers in stored)


def test_credentials_come_from_the_file_and_show_nowhere(pod: Pod, registry: RegistryStandIn, tmp_path: Path) -> None:
    point(pod, raw(registry))
    login = base64.b64encode(b"team:very-secret").decode()
    registry.access, registry.credentials = "token", ("team", "very-secret")
    refused = pod.fetch()
    assert refused.status == 4
    assert "name a Secret that opens it in serving.registryCredentials" in refused.message
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"username": "team", "password": "very-secret"}}}))
    outcome = pod.fetch(f"--registry-credentials={tmp_path / 'config.json'}")
    assert outcome.status == 0
    assert "very-secret" not in outcome.output
    assert login not in outcome.output


def test_a_mirror_is_asked_instead(pod: Pod, registry: RegistryStandIn) -> None:
    reference = raw(registry)
    point(pod, "registry.invalid/" + reference.partition("/")[2])
    assert pod.fetch(f"--mirror=http://{registry.host}").status == 0
    assert pod.served() == CONTENT


def test_a_mirror_is_given_the_credentials_of_its_own_name_and_no_others(
    pod: Pod, registry: RegistryStandIn, tmp_path: Path
) -> None:
    """It has the repository below a prefix, as a proxy of several registries has."""
    layers = ((RAW, data, {"org.cncf.model.filepath": path}) for path, data in FILLED.items())
    digest = registry.push_layers(f"proxy/{MODEL}", *layers)
    point(pod, f"registry.invalid/{MODEL}@{digest}")
    registry.access, registry.credentials = "token", ("mirror", "very-secret")
    options = (f"--mirror={registry.url}/v2/proxy", f"--registry-credentials={tmp_path / 'config.json'}")

    def fetch(host: str) -> int:
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"username": "mirror", "password": "very-secret"}}}))
        return pod.fetch(*options).status

    assert fetch("registry.invalid") == 4
    assert registry.authorizations == []
    assert fetch(f"{registry.host}/proxy") == 0
    assert pod.served() == CONTENT
    assert {path for path in registry.paths if path.startswith("/token")} == {
        f"/token?scope=repository:proxy/{MODEL}:pull&service=stand-in"
    }


def test_other_bytes_of_a_raw_layer_never_become_an_entry(pod: Pod, registry: RegistryStandIn) -> None:
    point(pod, raw(registry))
    for digest, data in registry.blobs.items():
        if len(data) > 100_000:
            registry.blobs[digest] = data[:-1] + b"x"
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert "'model.safetensors': expected" in outcome.message
    assert not pod.entry.exists()


@pytest.mark.parametrize("kind", [modelkit, modelcar])
def test_other_bytes_in_an_archive_never_become_an_entry(pod: Pod, registry: RegistryStandIn, kind: Any) -> None:
    good = dict(CONTENT)
    try:
        CONTENT["config.json"] = good["config.json"].replace(b"Qwen2", b"Qwen3")
        point(pod, kind(registry))
    finally:
        CONTENT.update(good)
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert "'config.json': expected" in outcome.message
    assert not pod.entry.exists()


def test_a_file_that_no_layer_has_is_named(pod: Pod, registry: RegistryStandIn) -> None:
    point(pod, push(registry, (MODELKIT, archive({"config.json": CONTENT["config.json"]}), {})))
    outcome = pod.fetch()
    assert outcome.status == 3
    assert "'model.safetensors': expected" in outcome.message
    assert "found nothing" in outcome.message


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_broken_connection_goes_on_where_it_broke(pod: Pod, registry: RegistryStandIn, kind: Any) -> None:
    point(pod, kind(registry))
    registry.drop_after = 10
    assert pod.fetch().status == 0
    assert [headers for _, _, headers in registry.requests if "range" in headers]
    assert pod.served() == CONTENT


def test_several_gzip_streams_in_a_row_are_one_layer(pod: Pod, registry: RegistryStandIn) -> None:
    plain = archive(CONTENT, compressed=False)
    point(pod, push(registry, (MODELKIT, gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]), {})))
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT


@pytest.mark.parametrize(
    "layer",
    [b"nonsense", gzip.compress(b"nonsense" * 200), archive(CONTENT)[:5000]],
    ids=["not gzip", "not tar", "cut off"],
)
def test_a_layer_that_is_no_archive_is_refused(pod: Pod, registry: RegistryStandIn, layer: bytes) -> None:
    point(pod, push(registry, (MODELKIT, layer, {})))
    outcome = pod.fetch()
    assert outcome.status in (3, 4)
    assert outcome.termination["reason"] in ("WeightsMismatch", "WeightsUnavailable")
    assert not pod.entry.exists()


def test_a_layer_with_other_bytes_behind_its_files_is_refused(pod: Pod, registry: RegistryStandIn) -> None:
    layer = archive(CONTENT, compressed=False)
    point(pod, push(registry, ("application/vnd.kitops.modelkit.model.v1.tar", layer, {})))
    (digest,) = registry.blobs
    registry.blobs[digest] = layer[:-1] + b"x"
    outcome = pod.fetch()
    assert outcome.status == 3
    assert "layer sha256:" in outcome.message


def test_names_that_leave_the_folder_are_not_written(pod: Pod, registry: RegistryStandIn) -> None:
    evil = archive({"../escape": b"x", "/tmp/escape": b"x", "nested/../../escape": b"x"} | CONTENT)
    point(pod, push(registry, (MODELKIT, evil, {})))
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT
    assert [path.name for path in pod.folder.rglob("escape")] == []


def test_a_manifest_that_is_not_the_pinned_one_is_refused(pod: Pod, registry: RegistryStandIn) -> None:
    reference = raw(registry)
    point(pod, reference)
    registry.manifests[MODEL, reference.rpartition("@")[2]] += b" "
    outcome = pod.fetch()
    assert outcome.status == 4
    assert "something between here and the registry changes" in outcome.message


BOMB = zstd.compress(bytes(300 * 1024 * 1024))


@pytest.mark.parametrize(
    ("layer", "told"),
    [(b"nonsense", "is not zstd"), (BOMB, "unpacks to more than 1032 times its size")],
    ids=["not zstd", "bomb"],
)
def test_a_layer_of_zstd_that_is_not_what_it_should_be_is_refused(
    pod: Pod, registry: RegistryStandIn, layer: bytes, told: str
) -> None:
    point(pod, push(registry, (MODELPACK_ZSTD, layer, {})))
    outcome = pod.fetch()
    assert outcome.status == 4
    assert told in outcome.message
    assert not pod.entry.exists()


def test_an_index_of_itself_comes_to_an_end(pod: Pod, registry: RegistryStandIn) -> None:
    inner = manifest(registry, {"manifests": []})
    for _ in range(6):
        inner = manifest(registry, {"manifests": [{"digest": inner.rpartition("@")[2]}]})
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
