"""From an artifact in a registry to exact files, against a registry on loopback."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pytest_asyncio import fixture

from holdfast.api.found import Found, Question, Taking
from holdfast.api.model import ModelSource
from holdfast.api.reasons import Reason
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError
from holdfast.sources.registry_access import RegistryAccess
from unit.registry import MANIFEST, RAW, TITLE, RegistryStandIn

FILES = {
    "README.md": b"# chat",
    "config.json": b'{"max_position_embeddings": 1}',
    "model.safetensors": b"weights",
    "modeling.py": b"import os",
    "tokenizer.json": b"{}",
}


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    with RegistryStandIn() as running:
        yield running


@fixture
async def resolver() -> AsyncIterator[HubResolver]:
    made = HubResolver("http://127.0.0.1:1", registries=RegistryAccess())
    yield made
    await made.close()


def asked(registry: RegistryStandIn, digest: str, *, python: bool = False, **fields: Any) -> Question:
    source = {"oci": {"reference": f"{registry.host}/models/chat@{digest}"} | fields}
    return Question(source=ModelSource.parse(source), taking=Taking.SAFETENSORS, python=python)


async def refused(resolver: HubResolver, question: Question) -> HubError:
    with pytest.raises(HubError) as raised:
        await resolver.resolve(question)
    return raised.value


def paths(found: Found) -> list[str]:
    return [file.path for file in found.source.files or ()]


@pytest.mark.parametrize("access", ["open", "token"])
async def test_a_layer_is_a_file(registry: RegistryStandIn, resolver: HubResolver, access: str) -> None:
    registry.access = access
    found = await resolver.resolve(asked(registry, registry.push_artifact("models/chat", FILES)))
    assert {file.path: (file.size, file.sha256) for file in found.source.files or ()} == {
        path: (len(FILES[path]), hashlib.sha256(FILES[path]).hexdigest())
        for path in ("config.json", "model.safetensors", "tokenizer.json")
    }
    assert found.texts == {"config.json": FILES["config.json"].decode()}


async def test_weights_are_not_downloaded(registry: RegistryStandIn, resolver: HubResolver) -> None:
    await resolver.resolve(asked(registry, registry.push_artifact("models/chat", FILES)))
    weights = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    assert not any(weights in path for _, path, _ in registry.requests)


async def test_code_is_taken_only_where_it_may_run(registry: RegistryStandIn, resolver: HubResolver) -> None:
    digest = registry.push_artifact("models/chat", FILES)
    assert "modeling.py" not in paths(await resolver.resolve(asked(registry, digest)))
    assert "modeling.py" in paths(await resolver.resolve(asked(registry, digest, python=True)))


async def test_another_list_than_declared_is_refused(registry: RegistryStandIn, resolver: HubResolver) -> None:
    digest = registry.push_artifact("models/chat", FILES)
    error = await refused(resolver, asked(registry, digest, manifestDigest="sha256:" + "0" * 64))
    assert error.reason is Reason.SOURCE_MISMATCH


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {"layers": None},
        {"layers": [1]},
        {"layers": [{"mediaType": RAW, "digest": "sha256:1", "size": 1}]},
        {"layers": [{"mediaType": RAW, "digest": "sha256:" + "1" * 64, "size": -1, "annotations": {TITLE: "a.json"}}]},
        {"layers": [{"mediaType": RAW, "digest": "sha256:" + "1" * 64, "size": 1}]},
        {"layers": [{"mediaType": RAW, "digest": "sha256:" + "1" * 64, "size": 1, "annotations": {TITLE: 7}}]},
        {"layers": [{"mediaType": RAW, "digest": "sha256:" + "1" * 64, "size": 1, "annotations": {TITLE: "../a.json"}}]},
        {"layers": [{"mediaType": f"{MANIFEST}.tar", "digest": "sha256:" + "1" * 64, "size": 1, "annotations": {TITLE: "a"}}]},
        {"manifests": []},
    ],
    ids=json.dumps,
)
async def test_a_manifest_that_does_not_say_which_files_is_refused(
    registry: RegistryStandIn, resolver: HubResolver, manifest: object
) -> None:
    error = await refused(resolver, asked(registry, registry.push_manifest("models/chat", manifest)))
    assert error.reason is Reason.INVALID_SPEC


async def test_other_bytes_than_the_manifest_says_are_refused(registry: RegistryStandIn, resolver: HubResolver) -> None:
    digest = registry.push_artifact("models/chat", FILES)
    config = f"sha256:{hashlib.sha256(FILES['config.json']).hexdigest()}"
    registry.blobs[config] = b'{"max_position_embeddings": 2}'
    assert "other bytes" in str(await refused(resolver, asked(registry, digest)))


async def test_an_artifact_that_is_not_there_is_told_with_the_way_out(registry: RegistryStandIn, resolver: HubResolver) -> None:
    error = await refused(resolver, asked(registry, "sha256:" + "0" * 64))
    assert error.reason is Reason.SOURCE_NOT_FOUND
    assert "or write files" in str(error)


async def test_the_operator_asks_nobody_without_a_certificate(registry: RegistryStandIn) -> None:
    """Whoever writes a ModelDeployment would otherwise choose where the operator sends requests, its own pod included."""
    cautious = HubResolver("http://127.0.0.1:1")
    digest = registry.push_artifact("models/chat", FILES)
    assert (await refused(cautious, asked(registry, digest))).reason is Reason.SOURCE_FORBIDDEN
    assert await cautious.platforms(f"{registry.host}/models/chat@{digest}") == ()
    assert registry.requests == []
    await cautious.close()


async def test_the_images_of_an_index_are_told(registry: RegistryStandIn, resolver: HubResolver) -> None:
    digest = registry.push("lab/engine", "v1", platforms=("linux/arm64", "linux/amd64"))
    found = await resolver.platforms(f"{registry.host}/lab/engine@{digest}")
    assert [one.platform for one in found] == ["linux/amd64", "linux/arm64"]


async def test_a_registry_out_of_reach_tells_no_images(resolver: HubResolver) -> None:
    assert await resolver.platforms(f"127.0.0.1:1/lab/engine@sha256:{'1' * 64}") == ()
