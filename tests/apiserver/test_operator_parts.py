"""The program `holdfast-operator` pins models of several parts, with a real API server and the Hub stand-in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apiserver.space import NAME, Manifest, Namespace
from apiserver.test_operator_program import Program
from builders import ENGINE_IMAGE
from holdfast.api.revision import ModelRevisionSpec
from holdfast.domain.pin import pin_digest
from testbed.hub import HubServer
from testbed.models import tiny_model

MODEL, CODE, WORDS, TONE, DRAFT = "lab/model", "lab/code", "lab/words", "lab/tone", "lab/draft"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        for repository in (MODEL, CODE, WORDS, TONE, DRAFT):
            hub.admin.create_repo(repository)
        yield hub


@contextmanager
def operator(space: Namespace, kubeconfig: Path, folder: Path, endpoint: str) -> Iterator[Program]:
    folder.mkdir(exist_ok=True)
    program = Program(kubeconfig, folder / "log", HOLDFAST_HUB_ENDPOINT=endpoint, HOLDFAST_NAMESPACES=space.name)
    try:
        yield program
    finally:
        program.end()


def source(repository: str, commit: str, **fields: Any) -> Manifest:
    return {"huggingFace": {"repository": repository, "commit": commit} | fields}


def declare(space: Namespace, source: Manifest, **fields: Any) -> None:
    space.declare_spec({"model": {"source": source, "engine": {"type": "VLLM", "image": ENGINE_IMAGE}} | fields})


def revision(space: Namespace) -> ModelRevisionSpec:
    return ModelRevisionSpec.parse(space.read("modelrevisions", f"{NAME}-1")["spec"])


def pinned(space: Namespace) -> Manifest:
    found: list[Manifest] = [each for each in space.status().get("conditions", []) if each["type"] == "Pinned"]
    return found[0] if found else {}


def configured(**changes: object) -> bytes:
    return json.dumps(json.loads(tiny_model(0)["config.json"]) | changes).encode()


def test_every_part_is_listed_byte_by_byte(space: Namespace, kubeconfig: Path, hub: HubServer, tmp_path: Path) -> None:
    mapped = configured(auto_map={"AutoModel": f"{CODE}--modeling.Model"})
    card = b"---\nlicense: mit\n---\n"
    model = hub.admin.commit(MODEL, {**tiny_model(0), "config.json": mapped, "README.md": card, "LICENSE": b"be kind"})
    words = {path: data for path, data in tiny_model(1).items() if "token" in path}
    adapter = json.dumps({"base_model_name_or_path": MODEL}).encode()
    declare(
        space,
        source(MODEL, model),
        tokenizer=source(WORDS, hub.admin.commit(WORDS, {**words, "model.safetensors": b"not a tokenizer"})),
        remoteCode="Pinned",
        code=[{"repository": CODE, "commit": hub.admin.commit(CODE, {"modeling.py": b"class Model: ...\n"})}],
        adapters=[
            {
                "name": "tone",
                "source": source(
                    TONE, hub.admin.commit(TONE, {"adapter_config.json": adapter, "adapter_model.safetensors": b"x"})
                ),
            }
        ],
        draftModel={"tokens": 3, "source": source(DRAFT, hub.admin.commit(DRAFT, dict(tiny_model(1))))},
    )
    with operator(space, kubeconfig, tmp_path / "operator", hub.url) as program:
        program.until(lambda: space.phase() == "AwaitingApproval", "a request")
    found = revision(space)
    assert pin_digest(found.model) == found.digest
    listed = {field: {file.path for file in one.files or ()} for field, one in found.model.sources()}
    assert listed["tokenizer"] == set(words)
    assert listed["code[0]"] == {"modeling.py"}
    assert listed["adapters[0].source"] == {"adapter_config.json", "adapter_model.safetensors"}
    assert "model.safetensors" in listed["draftModel.source"]
    assert "README.md" not in listed["source"]
    assert found.recorded is not None
    assert found.recorded.license is not None
    assert (found.recorded.license.id, found.recorded.refs) == ("mit", ["refs/heads/main"])


def test_code_that_nobody_pinned_is_refused_with_the_way_to_pin_it(
    space: Namespace, kubeconfig: Path, hub: HubServer, tmp_path: Path
) -> None:
    mapped = configured(auto_map={"AutoModel": f"{CODE}--modeling.Model"})
    declare(space, source(MODEL, hub.admin.commit(MODEL, {**tiny_model(0), "config.json": mapped})))
    with operator(space, kubeconfig, tmp_path / "operator", hub.url) as program:
        program.until(lambda: pinned(space).get("reason") == "InvalidSpec", "a refusal")
    assert f"loads Python code of {CODE}, which is not pinned; write remoteCode: Pinned" in pinned(space)["message"]
    assert space.read("modelrevisions")["items"] == []


def test_a_part_that_is_not_there_is_told_by_its_field(
    space: Namespace, kubeconfig: Path, hub: HubServer, tmp_path: Path
) -> None:
    commit = hub.admin.commit(MODEL, dict(tiny_model(0)))
    declare(space, source(MODEL, commit), tokenizer=source(WORDS, "f" * 40))
    with operator(space, kubeconfig, tmp_path / "operator", hub.url) as program:
        program.until(lambda: pinned(space).get("reason") == "SourceNotFound", "a refusal")
    assert pinned(space)["message"].startswith("spec.model.tokenizer: lab/words has no such commit")


def test_a_model_whose_list_is_in_the_manifest_needs_no_hub(space: Namespace, kubeconfig: Path, tmp_path: Path) -> None:
    files = [{"path": "config.json", "size": 2, "sha256": "1" * 64}, {"path": "model.safetensors", "size": 9, "sha256": "2" * 64}]
    declare(space, source(MODEL, "a" * 40, files=files))
    with operator(space, kubeconfig, tmp_path / "operator", "http://127.0.0.1:1") as program:
        program.until(lambda: space.phase() == "AwaitingApproval", "a request")
    found = revision(space)
    assert [file.wire() for file in found.model.source.files or ()] == files
    assert found.recorded is None
