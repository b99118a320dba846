"""Mirrors are asked in order and before the registry, for what has a digest, and cannot lie."""

import json
from pathlib import Path

import pytest

from holdfast.api.found import Question, Taking
from holdfast.api.model import ModelSource
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError
from holdfast.sources.registry import read_manifest, resolve_image
from holdfast.sources.registry_access import mirror_address
from holdfast.sources.registry_reference import parse_reference
from unit.hub_source.registries import SECRET, Secret, Start, access, reference, refusal
from unit.registry import RegistryStandIn, basic


async def test_a_mirror_is_asked_first_and_the_registry_when_it_does_not_help(start: Start) -> None:
    registry, first, second = start("registry.example"), start("first.example"), start("second.example")
    how = access(mirrors={registry.host: (first.url, second.url)})
    digest = registry.push("lab/engine", "v1")
    assert (await resolve_image(parse_reference(reference(registry.host, digest)), how)).platforms
    assert [len(one.requests) for one in (first, second, registry)] == [1, 1, 1]
    second.push("lab/engine", "v1")
    await resolve_image(parse_reference(reference(registry.host, digest)), how)
    assert [len(one.requests) for one in (first, second, registry)] == [2, 2, 1]
    first.push("lab/engine", "v1")
    await resolve_image(parse_reference(reference(registry.host, digest)), how)
    assert [len(one.requests) for one in (first, second, registry)] == [3, 2, 1]


async def test_a_mirror_cannot_lie(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    registry, mirror = start("registry.example"), start("mirror.example")
    digest = registry.push("lab/engine", "v1", platforms=("linux/amd64",))
    mirror.push("lab/engine", "v1", platforms=("linux/amd64",))
    mirror.body = b'{"manifests": []}'
    found = await resolve_image(parse_reference(reference(registry.host, digest)), access(mirrors={registry.host: [mirror.url]}))
    assert [one.platform for one in found.platforms] == ["linux/amd64"]
    assert "a mirror of a registry does not help" in caplog.text


async def test_the_error_is_the_registrys_own_and_names_no_secret_of_a_mirror(start: Start) -> None:
    registry, mirror = start("registry.example"), start("mirror.example")
    mirror.status = 500
    name = reference(registry.host, "sha256:" + "0" * 64)
    told = await refusal(name, access(mirrors={registry.host: [mirror.url]}))
    assert str(told).endswith("check the name and the tag; its mirrors do not show it either")
    assert mirror.host not in str(told)


async def test_a_mirror_is_given_its_own_credentials_and_the_registry_its_own(
    start: Start, private: RegistryStandIn, secret: Secret, tmp_path: Path
) -> None:
    mirror = start("mirror.example")
    mirror.access, mirror.credentials = "basic", ("mirror", "other-secret")
    digest = private.push("lab/engine", "v1")
    path = secret(private.host)
    document = json.loads(path.read_text())
    document["auths"][mirror.host] = {"username": "mirror", "password": "other-secret"}
    path.write_text(json.dumps(document))
    await resolve_image(parse_reference(reference(private.host, digest)), access(path, mirrors={private.host: [mirror.url]}))
    assert mirror.authorizations == [basic("mirror", "other-secret")]
    assert basic("mirror", "other-secret") not in private.authorizations


async def test_a_mirror_is_asked_without_tls_only_where_that_was_declared(start: Start) -> None:
    registry = start("registry.example")
    with RegistryStandIn(name="plain.example") as plain:
        digest = plain.push("lab/engine", "v1")
        await refusal(reference(plain.host, digest), access())
        assert plain.requests == []
        declared = access(mirrors={registry.host: [plain.url]})
        assert (await resolve_image(parse_reference(reference(registry.host, digest)), declared)).platforms
        assert registry.requests == []
        await refusal(reference(plain.host, digest), declared)
        assert len(plain.requests) == 1


async def test_a_mirror_without_tls_leads_nowhere_else_without_tls(start: Start) -> None:
    registry = start("registry.example")
    with RegistryStandIn(name="plain.example") as plain, RegistryStandIn(name="other.example") as other:
        plain.redirect = other.url
        digest = other.push("lab/engine", "v1")
        await refusal(reference(registry.host, digest), access(mirrors={registry.host: [plain.url]}))
        assert other.requests == []


async def test_a_mirror_without_tls_may_have_its_tokens_and_logins(start: Start, secret: Secret) -> None:
    registry = start("registry.example")
    with RegistryStandIn(name="plain.example") as plain:
        plain.access, plain.credentials = "token", SECRET
        digest = plain.push("lab/engine", "v1")
        how = access(secret(plain.host), mirrors={registry.host: [plain.url]})
        assert (await resolve_image(parse_reference(reference(registry.host, digest)), how)).platforms


async def test_a_tag_is_asked_of_the_registry_alone(start: Start) -> None:
    """A mirror could say of a tag what it likes."""
    registry, mirror = start("registry.example"), start("mirror.example")
    digest = registry.push("lab/engine", "v1")
    mirror.push("lab/engine", "v1", platforms=("linux/riscv64",))
    found = await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), access(mirrors={registry.host: [mirror.url]}))
    assert found.pinned.endswith(digest)
    assert mirror.requests == []


async def test_files_of_a_model_come_from_a_mirror_too(start: Start) -> None:
    registry, mirror = start("registry.example"), start("mirror.example")
    digest = mirror.push_artifact("models/chat", {"config.json": b"{}", "model.safetensors": b"weights"})
    source = ModelSource.parse({"oci": {"reference": f"{registry.host}/models/chat@{digest}"}})
    resolver = HubResolver("http://127.0.0.1:1", registries=access(mirrors={registry.host: [mirror.url]}))
    found = await resolver.resolve(Question(source=source, taking=Taking.SAFETENSORS))
    assert found.source.oci is not None
    assert found.source.oci.reference == f"{registry.host}/models/chat@{digest}"
    assert registry.requests == []
    mirror.blobs = dict.fromkeys(mirror.blobs, b"[]")
    with pytest.raises(HubError):
        await resolver.resolve(Question(source=source, taking=Taking.SAFETENSORS))
    await resolver.close()


@pytest.mark.parametrize(
    ("mirror", "registry", "url"),
    [
        ("https://m.example", "m.example", "https://m.example/v2/lab/engine"),
        ("https://m.example/", "m.example", "https://m.example/v2/lab/engine"),
        ("http://m.example:5000/v2", "m.example:5000", "http://m.example:5000/v2/lab/engine"),
        ("https://m.example/prefix", "m.example", "https://m.example/prefix/v2/lab/engine"),
        ("https://m.example/v2/docker-hub", "m.example", "https://m.example/v2/docker-hub/lab/engine"),
        ("https://m.example/v2x", "m.example", "https://m.example/v2x/v2/lab/engine"),
    ],
)
def test_a_mirrors_url_is_read_as_containerd_reads_it(mirror: str, registry: str, url: str) -> None:
    address = mirror_address(mirror, "lab/engine")
    assert (address.registry, address.url) == (registry, url)
    assert address.plain is mirror.startswith("http:")


async def test_a_token_for_a_proxy_names_the_repository_as_the_proxy_does(start: Start) -> None:
    registry, mirror = start("registry.example"), start("mirror.example")
    mirror.access = "token"
    digest = mirror.push("docker-hub/lab/engine", "v1")
    how = access(mirrors={registry.host: [f"{mirror.url}/v2/docker-hub"]})
    await read_manifest(parse_reference(reference(registry.host, digest)), how)
    assert [path for path in mirror.paths if path.startswith("/token")] == [
        "/token?scope=repository:docker-hub/lab/engine:pull&service=stand-in"
    ]
