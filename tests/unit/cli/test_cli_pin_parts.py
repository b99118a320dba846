"""holdfast pin of what is more than one repository's weights: lists of files, foreign code, prompts with a date."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from huggingface_hub import close_session

from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.revision import ResolvedModel
from holdfast.domain.pin import differences, resolve_model
from holdfast.domain.questions import questions
from holdfast.sources.hub import HubResolver
from testbed.hub import HubServer
from testbed.models import tiny_model
from unit.cli.conftest import Cli
from unit.registry import RegistryStandIn

IMAGE = f"registry.invalid/lab/engine@sha256:{'1' * 64}"
REPOSITORY = "lab/model"
CODE = "other/code"


@pytest.fixture
def hub(bare_cli: Cli) -> Iterator[HubServer]:
    with HubServer() as running:
        bare_cli.environ["HF_ENDPOINT"] = running.url
        for repository in (REPOSITORY, CODE):
            running.admin.create_repo(repository)
        yield running
    close_session()


def publish(hub: HubServer, **changes: bytes | None) -> str:
    """Publish the tiny model with some files replaced; double underscores in a name stand for its dot."""
    files: dict[str, bytes | None] = {**tiny_model(0), **{name.replace("__", "."): data for name, data in changes.items()}}
    return hub.admin.commit(REPOSITORY, files)


def pinned(cli: Cli, *arguments: str) -> dict[str, Any]:
    result = cli("pin", REPOSITORY, "--image", IMAGE, *arguments)
    assert result.code == 0, result.err
    model: dict[str, Any] = yaml.safe_load(result.out)["spec"]["model"]
    return model


def resolved(endpoint: str, model: dict[str, Any]) -> ResolvedModel:
    """Resolve a model as the operator does."""
    declared = ModelDeploymentSpec.parse({"model": model}).model

    async def ask() -> ResolvedModel:
        resolver = HubResolver(endpoint)
        try:
            return resolve_model(
                "model", declared, {field: await resolver.resolve(asked) for field, asked in questions(declared).items()}
            )
        finally:
            await resolver.close()

    return asyncio.run(ask())


def test_with_files_a_cluster_without_the_hub_comes_to_the_same_model(bare_cli: Cli, hub: HubServer) -> None:
    publish(hub)
    with_hub = resolved(hub.url, pinned(bare_cli))
    model = pinned(bare_cli, "--files")
    asked = len(hub.admin.requests())
    without_hub = resolved(hub.url, model)
    assert len(hub.admin.requests()) == asked
    assert [(entry.field, entry.old, entry.new) for entry in differences(with_hub, without_hub)] == [
        ("chatTemplate.from", "Source", "Inline")
    ]
    assert "include" not in model["source"]["huggingFace"]


def test_a_list_that_a_manifest_cannot_hold_is_told(bare_cli: Cli, hub: HubServer) -> None:
    hub.admin.change_settings(page_size=1000)
    hub.admin.commit(REPOSITORY, {**tiny_model(0), **{f"more/{number}.json": b"{}" for number in range(500)}})
    result = bare_cli("pin", REPOSITORY, "--image", IMAGE, "--files")
    assert result.code == 1
    assert "a manifest lists at most 500; choose with --include" in result.err


def with_code(hub: HubServer) -> bytes:
    config = json.loads(tiny_model(0)["config.json"])
    config["auto_map"] = {"AutoModel": f"{CODE}--modeling.Model", "AutoConfig": "configuration.Config"}
    return json.dumps(config).encode()


def test_code_of_another_repository_is_pinned_with_the_model(bare_cli: Cli, hub: HubServer) -> None:
    publish(hub, config__json=with_code(hub), configuration__py=b"class Config: ...\n")
    code = hub.admin.commit(CODE, {"modeling.py": b"class Model: ...\n", "README.md": b"# code\n"})
    model = pinned(bare_cli, "--remote-code")
    assert model["remoteCode"] == "Pinned"
    (entry,) = model["code"]
    assert (entry["repository"], entry["commit"]) == (CODE, code)
    found = resolved(hub.url, model)
    assert found.code is not None
    assert [file.path for file in found.code[0].files or ()] == ["modeling.py"]
    assert "configuration.py" in [file.path for file in found.source.files or ()]
    hub.admin.commit(CODE, {"modeling.py": b"import os\n"})
    assert resolved(hub.url, model) == found


def test_code_that_nobody_pinned_is_told_with_the_way_to_pin_it(bare_cli: Cli, hub: HubServer) -> None:
    publish(hub, config__json=with_code(hub))
    result = bare_cli("pin", REPOSITORY, "--image", IMAGE)
    assert (result.code, result.out) == (1, "")
    assert f"config.json loads Python code of {CODE}, which is not pinned" in result.err
    assert "--remote-code" in bare_cli("pin", "--help").out


def test_a_prompt_with_the_date_has_to_be_accepted(bare_cli: Cli, hub: HubServer) -> None:
    publish(hub, chat_template__jinja=b"{{ strftime_now('%d %b %Y') }}{{ messages }}")
    result = bare_cli("pin", REPOSITORY, "--image", IMAGE)
    assert result.code == 1
    assert "asks for today's date (strftime_now)" in result.err
    assert pinned(bare_cli, "--allow-clock")["chatTemplate"] == {"clock": "Allowed"}


def test_other_formats_of_the_same_weights_are_left_out(bare_cli: Cli, hub: HubServer) -> None:
    publish(hub, pytorch_model__bin=b"pickle", model__onnx=b"onnx", consolidated__safetensors=b"again")
    model = pinned(bare_cli)
    assert "include" not in model["source"]["huggingFace"]
    paths = [file.path for file in resolved(hub.url, model).source.files or ()]
    assert [path for path in paths if path.endswith((".safetensors", ".bin", ".onnx"))] == ["model.safetensors"]


def test_an_artifact_of_a_registry_is_pinned_by_its_digest(bare_cli: Cli) -> None:
    with RegistryStandIn() as registry:
        digest = registry.push_artifact("models/chat", dict(tiny_model(0)), tag="v1")
        result = bare_cli("pin", f"oci://{registry.host}/models/chat:v1", "--image", IMAGE)
        assert result.code == 0, result.err
        assert f"# oci://{registry.host}/models/chat:v1 on 2026-11-21" in result.out
        document = yaml.safe_load(result.out)
        assert document["metadata"] == {"name": "chat"}
        source = document["spec"]["model"]["source"]["oci"]
        assert source["reference"] == f"{registry.host}/models/chat@{digest}"
        assert source["manifestDigest"].startswith("sha256:")
        listed = yaml.safe_load(bare_cli("pin", f"oci://{registry.host}/models/chat:v1", "--image", IMAGE, "--files").out)
        files = listed["spec"]["model"]["source"]["oci"]["files"]
        assert "model.safetensors" in [file["path"] for file in files]
        assert bare_cli("pin", f"oci://{registry.host}/models/chat:v2", "--image", IMAGE).code == 3
        assert bare_cli("pin", f"oci://{registry.host}/models/chat:v1", "--include", "*").code == 2
