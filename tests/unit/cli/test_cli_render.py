"""holdfast render: the objects of a revision, as the operator makes them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import close_session

from builders import NAME, WEIGHTS_IMAGE
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.names import weights_named_name
from holdfast.domain.snapshot import DeploymentView, RevisionView
from holdfast.render.deployment import engine_objects, shared_objects
from testbed.hub import Demo, HubServer, seed_demo
from unit.cli import states
from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import Cli, deployed, revised

Object = dict[str, Any]
DECLARED = "{apiVersion: holdfast.dev/v1alpha1, kind: ModelDeployment, metadata: {name: chat}}"
KINDS = ["Service", "NetworkPolicy", "ConfigMap", "Service", "NetworkPolicy", "Deployment"]


def documents(text: str) -> list[Object]:
    return list(yaml.safe_load_all(text))


def kinds(found: list[Object]) -> list[str]:
    return [each["kind"] for each in found]


def as_the_operator_makes_it(cluster: ApiStandIn, number: int) -> list[Object]:
    """Render from what the operator reads of the same objects."""
    from holdfast.cluster import kinds as known
    from holdfast.controller.projections import project

    deployment = project(known.MODEL_DEPLOYMENT, cluster.get("modeldeployments", NAME))
    view = project(known.MODEL_REVISION, cluster.get("modelrevisions", f"{NAME}-{number}"))
    assert isinstance(deployment, DeploymentView)
    assert isinstance(view, RevisionView)
    return [*shared_objects(deployment), *engine_objects(deployment, view, 1)]


@pytest.mark.parametrize("number", [1, 2])
def test_it_prints_what_the_operator_makes(cli: Cli, api: ApiStandIn, number: int) -> None:
    states.proposed_second(api)
    result = cli("render", NAME, "--revision", str(number))
    assert result.code == 0
    assert documents(result.out) == as_the_operator_makes_it(api, number)


def test_json_is_a_list_that_kubectl_takes(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_first(api)
    whole = json.loads(cli("render", NAME, "-o", "json").out)
    assert (whole["apiVersion"], whole["kind"]) == ("v1", "List")
    assert whole["items"] == as_the_operator_makes_it(api, 1)


def test_what_must_stay_in_a_claim_is_what_all_revisions_name(cli: Cli, api: ApiStandIn) -> None:
    revised(api, 1, "a")
    revised(api, 2, "b")
    deployed(api, serving={"cache": {"type": "PersistentVolumeClaim", "size": "1Gi", "unused": "Delete"}})
    found = documents(cli("render", NAME, "--revision", "1").out)
    (named,) = [each for each in found if each["kind"] == "ConfigMap" and each["metadata"]["name"] == weights_named_name(NAME)]
    listed = json.loads(named["data"]["named.json"])
    assert (listed["revision"], len(listed["manifestDigests"])) == (2, 2)


def test_without_a_number_it_is_the_declared_revision(cli: Cli, api: ApiStandIn) -> None:
    one, _ = revised(api, 1, "a"), revised(api, 2, "b")
    desired = {"declared": f"sha256:{'0' * 64}", "digest": one, "revision": 1}
    deployed(api, ModelDeploymentStatus.parse({"desired": desired}))
    found = documents(cli("render", NAME).out)
    assert [each["metadata"]["name"] for each in found if each["kind"] == "Deployment"] == [f"{NAME}-1"]


def test_the_same_objects_come_from_a_file(cli: Cli, api: ApiStandIn, bare_cli: Cli, tmp_path: Path) -> None:
    states.proposed_second(api)
    items = [api.get("modeldeployments", NAME), *(api.get("modelrevisions", f"{NAME}-{number}") for number in (1, 2))]
    file = tmp_path / "saved.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    from_cluster = cli("render", NAME, "--revision", "1").out
    del bare_cli.environ["KUBECONFIG"]
    assert bare_cli("render", "-f", str(file), "--revision", "1").out == from_cluster


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("render",), 2, "give the NAME of a ModelDeployment or a file with -f, and not both"),
        (("render", NAME, "-f", "x.yaml"), 2, "and not both"),
        (("render", "-f", "no-such-file"), 3, "cannot read no-such-file: No such file or directory"),
        (("render", NAME, "--revision", "7"), 3, f"{NAME} has no revision 7; there are: 1"),
        (("render", "other"), 3, "other"),
    ],
)
def test_what_cannot_be_rendered_is_said_in_one_sentence(
    cli: Cli, api: ApiStandIn, arguments: tuple[str, ...], code: int, told: str
) -> None:
    states.proposed_first(api)
    result = cli(*arguments)
    assert (result.code, result.out) == (code, "")
    assert told in result.err


def test_a_deployment_without_a_revision_says_where_to_look(cli: Cli, api: ApiStandIn) -> None:
    deployed(api, ModelDeploymentStatus())
    result = cli("render", NAME)
    assert result.code == 3
    assert f"holdfast status {NAME}" in result.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not YAML"),
        ("kind: ConfigMap", "holds 0 objects of kind ModelDeployment"),
        ("[" * 3000, "nested too deeply"),
        ("apiVersion: holdfast.dev/v1alpha1\nkind: ModelDeployment", "has no metadata.name"),
        ("apiVersion: holdfast.dev/v1alpha1\nkind: ModelDeployment\nmetadata: 7", "has no metadata.name"),
        ("apiVersion: holdfast.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: chat-1}", "would be the name of a revision"),
        (
            "\n---\n".join((DECLARED, "{apiVersion: holdfast.dev/v1alpha1, kind: ModelRevision, spec: {deployment: chat}}")),
            "a ModelRevision of chat has no spec.number",
        ),
        ("apiVersion: holdfast.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: chat}", "the file has no ModelRevision"),
    ],
)
def test_a_file_without_a_model_is_refused(bare_cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(text)
    result = bare_cli("render", "-f", str(file))
    assert (result.code, result.out) == (2, "")
    assert told in result.err


def test_the_name_is_one_that_an_object_can_have(cli: Cli) -> None:
    result = cli("render", "Not A Name")
    assert (result.code, result.out) == (2, "")
    assert "is not a name" in result.err


def test_a_revision_that_is_not_what_its_digest_says_is_not_rendered(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_first(api)
    raw = api.get("modelrevisions", f"{NAME}-1")
    raw["spec"]["model"]["servedName"] = "another"
    api.put("modelrevisions", f"{NAME}-1", metadata=raw["metadata"], spec=raw["spec"])
    result = cli("render", NAME)
    assert (result.code, result.out) == (1, "")
    assert "is not what its digest says" in result.err


@pytest.fixture
def demo(bare_cli: Cli) -> Any:
    with HubServer() as hub:
        bare_cli.environ["HF_ENDPOINT"] = hub.url
        yield seed_demo(hub.admin)
        close_session()


def test_a_declaration_is_resolved_and_rendered_before_it_is_applied(bare_cli: Cli, demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    engine = "registry.example/engine@sha256:" + "e" * 64
    pinned = bare_cli("pin", "holdfast/tiny-chat-GGUF", "--image", engine, "--name", "chat", "-o", "json")
    assert pinned.code == 0, pinned.err
    file.write_text(pinned.out)
    result = bare_cli("render", "-f", str(file), "--weights-image", WEIGHTS_IMAGE)
    assert result.code == 0, result.err
    found = documents(result.out)
    assert kinds(found) == KINDS
    assert all("ownerReferences" not in each["metadata"] for each in found)
    weights, *_ = found[-1]["spec"]["template"]["spec"]["initContainers"]
    assert weights["image"] == WEIGHTS_IMAGE


def test_a_token_that_is_none_is_refused_and_not_shown(bare_cli: Cli, demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(
        bare_cli("pin", "holdfast/tiny-chat-GGUF", "--image", "registry.example/engine@sha256:" + "e" * 64, "-o", "json").out
    )
    bare_cli.environ["HF_TOKEN"] = "hf_secret\nhf_other"
    result = bare_cli("render", "-f", str(file), "--weights-image", WEIGHTS_IMAGE)
    assert (result.code, result.out) == (2, "")
    assert "HF_TOKEN has a space" in result.err
    assert "hf_secret" not in result.err


def test_lists_of_files_that_the_operator_refuses_are_refused_in_its_words(bare_cli: Cli, tmp_path: Path) -> None:
    folder = f"{'x' * 200}/{'y' * 200}"
    files = [{"path": f"{folder}/{number:04}.safetensors", "size": 1, "sha256": "1" * 64} for number in range(498)]
    files += [{"path": name, "size": 1, "sha256": "2" * 64} for name in ("config.json", "model.safetensors")]
    listed = {"repository": "lab/model", "commit": "a" * 40, "files": sorted(files, key=lambda file: str(file["path"]))}
    source = {"huggingFace": listed}
    model: Object = {"source": source, "adapters": [{"name": name, "source": source} for name in "abc"]}
    model["engine"] = {"type": "VLLM", "image": "registry.example/engine@sha256:" + "e" * 64}
    made = {
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "chat"},
        "spec": {"model": model},
    }
    file = tmp_path / "model.json"
    file.write_text(json.dumps(made))
    result = bare_cli("render", "-f", str(file), "--weights-image", WEIGHTS_IMAGE)
    assert (result.code, result.out) == (1, "")
    assert "chat would not start: spec.model: the lists of files of all its parts are " in result.err


def test_an_image_of_the_operator_with_a_tag_is_refused(bare_cli: Cli, tmp_path: Path) -> None:
    spec: Object = {"model": {"source": {"huggingFace": {"repository": "a/b", "commit": "a" * 40}}}}
    spec["model"]["engine"] = {"type": "VLLM", "image": "registry.example/engine@sha256:" + "e" * 64}
    file = tmp_path / "model.yaml"
    made = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "chat"}, "spec": spec}
    file.write_text(yaml.safe_dump(made))
    result = bare_cli("render", "-f", str(file), "--weights-image", "registry.example/holdfast:latest")
    assert result.code == 2
    assert "by its digest" in result.err
