"""holdfast pin of an artifact of a registry: its list of files in one command, whatever the artifact is packed in."""

import asyncio
import base64
import hashlib
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.found import Found
from holdfast.cli import artifact_content, words
from holdfast.domain.questions import questions
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError
from holdfast.sources.registry_access import RegistryAccess
from testbed.models import tiny_gguf, tiny_model
from unit.cli.conftest import Cli
from unit.registry import IMAGE, IMAGE_ZSTD, INDEX, MODELKIT, RegistryStandIn, archive, zstd

ENGINE = f"registry.invalid/lab/engine@sha256:{'1' * 64}"
REPOSITORY = "models/chat"
FILES = dict(tiny_model(0))


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    with RegistryStandIn() as running:
        yield running


def modelcar(registry: RegistryStandIn, files: dict[str, bytes], *, tag: str = "v1") -> str:
    layer = archive({f"models/{path}": content for path, content in files.items()}, compressed=False)
    base = archive({"bin/sh": b"#!"})
    return registry.push_layers(REPOSITORY, (IMAGE, base, {}), (IMAGE_ZSTD, zstd.compress(layer), {}), tag=tag)


def modelkit(registry: RegistryStandIn, files: dict[str, bytes]) -> str:
    layers = ((MODELKIT, archive({path: content}), dict[str, str]()) for path, content in files.items())
    return registry.push_layers(REPOSITORY, *layers, tag="v1")


def model_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)["spec"]["model"]
    return found


def pinned(cli: Cli, name: str, *arguments: str) -> dict[str, Any]:
    result = cli("pin", name, "--image", ENGINE, *arguments)
    assert result.code == 0, result.err
    return model_of(result.out)


def operator_finds(model: dict[str, Any], registries: RegistryAccess | None = None) -> Found:
    """Resolve a declared model's source as the operator does."""
    declared = ModelDeploymentSpec.parse({"model": model}).model

    async def ask() -> Found:
        resolver = HubResolver("http://127.0.0.1:1", registries=registries)
        try:
            return await resolver.resolve(questions(declared)["source"])
        finally:
            await resolver.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("push", [modelcar, modelkit], ids=["modelcar", "modelkit"])
def test_archives_are_listed_in_one_command(bare_cli: Cli, registry: RegistryStandIn, push: Any) -> None:
    digest = push(registry, FILES)
    model = pinned(bare_cli, f"oci://{registry.host}/{REPOSITORY}:v1")
    source = model["source"]["oci"]
    assert source["reference"] == f"{registry.host}/{REPOSITORY}@{digest}"
    listed = {file["path"]: file["sha256"] for file in source["files"]}
    assert listed["model.safetensors"] == hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    assert model["chatTemplate"]["text"], "what the operator would read in the files is written out"
    asked = len(registry.requests)
    found = operator_finds(model)
    assert found.source.manifest_digest == source["manifestDigest"]
    assert len(registry.requests) == asked


def test_an_index_of_images_is_one_too(bare_cli: Cli, registry: RegistryStandIn) -> None:
    digest = modelcar(registry, FILES)
    platform = {"os": "linux", "architecture": "amd64"}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": digest, "platform": platform}]}
    pushed = registry.push_manifest(REPOSITORY, index, tag="all")
    source = pinned(bare_cli, f"oci://{registry.host}/{REPOSITORY}:all")["source"]["oci"]
    assert source["reference"].endswith(pushed)
    assert source["files"]


def test_the_engine_follows_from_the_files(bare_cli: Cli, registry: RegistryStandIn) -> None:
    gguf = {path: content for path, content in tiny_gguf(1).items() if path.endswith(".gguf")}
    modelcar(registry, gguf)
    engine = pinned(bare_cli, f"oci://{registry.host}/{REPOSITORY}:v1")["engine"]
    assert (engine["type"], engine["options"]["modelFile"]) == ("LlamaCpp", next(iter(gguf)))


def test_how_far_it_is_is_told(bare_cli: Cli, registry: RegistryStandIn) -> None:
    modelcar(registry, FILES)
    result = bare_cli("pin", f"oci://{registry.host}/{REPOSITORY}:v1", "--image", ENGINE)
    name = re.escape(f"oci://{registry.host}/{REPOSITORY}:v1")
    assert f"asking {registry.host} about oci://" in result.err
    assert re.search(rf"reading the archives of {name} for what is in them: [\d.]+ \w+ of [\d.]+ kB", result.err)
    assert f"# pinned by holdfast on 2026-11-21 from {registry.host}" in result.out


def logged_in(home: Path, registry: RegistryStandIn, word: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    auth = {"auth": base64.b64encode(f"me:{word}".encode()).decode()}
    (home / ".docker/config.json").write_text(json.dumps({"auths": {registry.host: auth}}))


@pytest.mark.parametrize("packed", [True, False])
def test_a_private_artifact_is_opened_by_the_users_login(
    bare_cli: Cli, registry: RegistryStandIn, home: Path, packed: bool
) -> None:
    digest = modelcar(registry, FILES) if packed else registry.push_artifact(REPOSITORY, FILES)
    registry.access, registry.credentials, registry.uses = "token", ("me", "very-secret"), 2
    name = f"oci://{registry.host}/{REPOSITORY}@{digest}"
    refused = bare_cli("pin", name, "--image", ENGINE)
    assert (refused.code, refused.out) == (5, "")
    assert "log in with a container tool that writes ~/.docker/config.json" in refused.err
    logged_in(home, registry, "very-secret")
    assert pinned(bare_cli, name, "--files")["source"]["oci"]["files"]
    assert "very-secret" not in refused.err


@pytest.mark.parametrize("private", [False, True])
def test_what_the_operator_says_prints_the_list(bare_cli: Cli, registry: RegistryStandIn, home: Path, private: bool) -> None:
    """The command stands in the message word for word; --image is only given because this test has no network."""
    digest = registry.push_artifact(REPOSITORY, FILES) if private else modelkit(registry, FILES)
    if private:
        registry.access, registry.credentials = "token", ("me", "very-secret")
    source = {"oci": {"reference": f"{registry.host}/{REPOSITORY}@{digest}"}}
    declared = {"source": source, "engine": {"type": "VLLM", "image": ENGINE}}
    with pytest.raises(HubError) as told:
        operator_finds(declared, RegistryAccess())
    command = re.search(r"write files, which this prints: holdfast (pin oci://\S+ --files)$", str(told.value))
    assert command is not None, str(told.value)
    logged_in(home, registry, "very-secret")
    result = bare_cli(*command[1].split(), "--image", ENGINE)
    assert result.code == 0, result.err
    assert operator_finds(model_of(result.out)).source.files


def test_more_files_than_a_manifest_holds_are_told(bare_cli: Cli, registry: RegistryStandIn) -> None:
    modelcar(registry, {**FILES, **{f"more/{number}.json": b"{}" for number in range(500)}})
    result = bare_cli("pin", f"oci://{registry.host}/{REPOSITORY}:v1", "--image", ENGINE)
    assert result.code == 1
    assert "a manifest lists at most 500; choose with --include, or push an artifact with fewer" in result.err


def test_an_interruption_ends_the_download(bare_cli: Cli, registry: RegistryStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The piece that has come is still taken, so of three layers the second is begun and the third is not."""
    layers = ((IMAGE, archive({f"models/{number}.json": b"{}"}), dict[str, str]()) for number in range(3))
    registry.push_layers(REPOSITORY, *layers, tag="v1")
    ended = threading.Event()

    def interrupted(_: int) -> str:
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            assert ended.wait(10)
        return ""

    monkeypatch.setattr(words, "size", interrupted)
    monkeypatch.setattr(artifact_content, "Event", lambda: ended)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
    try:
        assert bare_cli("pin", f"oci://{registry.host}/{REPOSITORY}:v1", "--image", ENGINE).code == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert len([path for path in registry.paths if "/blobs/" in path]) == 2
