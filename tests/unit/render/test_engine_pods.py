"""What holds for every engine's pod, whatever the engine."""

import hashlib
import json
from typing import Any

import pytest

from holdfast.api.engine_arguments import refusal
from holdfast.api.model import Model
from holdfast.domain.snapshot import DeploymentView
from holdfast.identity.facts import parse
from holdfast.render.deployment import engine_objects, shared_objects
from unit.render.cases import FULL, FULL_SERVING, MINIMAL, declared, owner, revision

ALL = {f"{name}-minimal": case for name, case in MINIMAL.items()} | {f"{name}-full": case for name, case in FULL.items()}
every = pytest.mark.parametrize(("model", "paths"), ALL.values(), ids=ALL)


def pod(model: Model, paths: tuple[str, ...], **serving: Any) -> dict[str, Any]:
    template: dict[str, Any] = engine_objects(owner(model, **serving), revision(model, paths), 1)[-1]["spec"]["template"]
    spec: dict[str, Any] = template["spec"]
    return spec


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec["initContainers"], *spec["containers"]]


@every
def test_it_passes_the_restricted_pod_security_standard(model: Model, paths: tuple[str, ...]) -> None:
    spec = pod(model, paths)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all(not {"hostPath", "projected"} & volume.keys() for volume in spec["volumes"])
    for container in containers(spec):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert all("hostPort" not in port for port in container.get("ports", []))


@every
def test_it_has_no_rights_in_the_cluster(model: Model, paths: tuple[str, ...]) -> None:
    spec = pod(model, paths)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


@every
def test_the_engine_sees_only_the_verified_entry_and_cannot_write_it(model: Model, paths: tuple[str, ...]) -> None:
    view = revision(model, paths)
    engine = pod(model, paths)["containers"][0]
    weights = [mount for mount in engine["volumeMounts"] if mount["name"] == "weights"]
    subdirectory = "sha256-" + view.spec.model.source.manifest_digest.removeprefix("sha256:")
    assert weights == [{"name": "weights", "mountPath": "/holdfast/model", "subPath": subdirectory, "readOnly": True}]


@every
def test_images_are_pinned_and_those_of_the_revision(model: Model, paths: tuple[str, ...]) -> None:
    view = revision(model, paths)
    images = [container["image"] for container in containers(pod(model, paths))]
    assert images == [view.spec.render.weights_image, view.spec.render.weights_image, view.spec.model.engine.image]


@every
def test_the_grace_period_outlasts_withdrawing_and_draining(model: Model, paths: tuple[str, ...]) -> None:
    spec = pod(model, paths, drainSeconds=120)
    held = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert held >= 10
    assert spec["terminationGracePeriodSeconds"] >= 10 + 120 + 10
    assert spec["terminationGracePeriodSeconds"] >= held + 10


def test_an_engine_that_drops_its_streams_hears_of_its_end_after_draining() -> None:
    spec = pod(*MINIMAL["llama-cpp"], drainSeconds=120)
    assert spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 10 + 120


@every
def test_every_answer_is_probed(model: Model, paths: tuple[str, ...]) -> None:
    engine = pod(model, paths)["containers"][0]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= engine.keys()


@every
def test_what_the_api_server_drops_is_not_written(model: Model, paths: tuple[str, ...]) -> None:
    def empty(value: object, path: str) -> list[str]:
        if isinstance(value, dict):
            return [found for key, inner in value.items() for found in empty(inner, f"{path}.{key}")]
        if isinstance(value, list):
            return [found for index, inner in enumerate(value) for found in empty(inner, f"{path}[{index}]")]
        return [path] if value in {"", None} else []

    objects = engine_objects(owner(model, **FULL_SERVING), revision(model, paths), 1)
    assert [found for manifest in objects for found in empty(manifest, manifest["kind"])] == []


@every
def test_a_sidecar_that_starts_before_the_engine_decides_whether_the_pod_is_ready(model: Model, paths: tuple[str, ...]) -> None:
    sidecar = pod(model, paths)["initContainers"][-1]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("identity", "Always")
    assert sidecar["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 8001, "scheme": "HTTP"}
    assert "livenessProbe" not in sidecar  # it ends by itself


@every
def test_what_the_sidecar_knows_and_remembers_is_out_of_the_engines_reach(model: Model, paths: tuple[str, ...]) -> None:
    spec = pod(model, paths)
    mounted = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    assert not {"pod", "identity"} & mounted
    config = next(each for each in engine_objects(owner(model), revision(model, paths), 1) if each["kind"] == "ConfigMap")
    facts = parse(json.loads(config["data"]["identity.json"]))
    assert facts.constants[0].name == "engine.image"
    assert facts.completions[0].body["model"] == revision(model, paths).spec.model.served_name


@every
def test_python_engines_look_nothing_up_while_they_serve(model: Model, paths: tuple[str, ...]) -> None:
    engine = pod(model, paths)["containers"][0]
    environment = {variable["name"]: variable.get("value", "") for variable in engine["env"]}
    if model.engine.type == "LlamaCpp":
        assert "--offline" in engine["args"]
    else:
        assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"


@pytest.mark.parametrize(
    "serving",
    [
        {"replicas": 5},
        {"replicas": 0},
    ],
)
def test_the_number_of_pods_does_not_change_them(serving: dict[str, Any]) -> None:
    model, paths = MINIMAL["vllm"]
    assert pod(model, paths, **serving) == pod(model, paths)


def test_the_token_is_mounted_for_the_first_container_only() -> None:
    spec = pod(*MINIMAL["vllm"], hubToken={"name": "hub", "key": "token"})
    mounts = {container["name"]: [mount["name"] for mount in container["volumeMounts"]] for container in containers(spec)}
    assert "token" in mounts["weights"]
    assert "token" not in mounts["engine"]
    assert "--token-file=/holdfast/token/token" in spec["initContainers"][0]["args"]


def test_accelerators_choose_and_tolerate_their_nodes() -> None:
    spec = pod(*MINIMAL["vllm"], accelerator={"resource": "nvidia.com/gpu", "count": 2, "product": "NVIDIA-L4"})
    assert spec["containers"][0]["resources"] == {"requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": "2"}}
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]


def test_only_gateways_reach_engines() -> None:
    model, paths = MINIMAL["vllm"]
    (policy,) = [found for found in shared_objects(owner(model)) if found["kind"] == "NetworkPolicy"]
    labels = engine_objects(owner(model), revision(model, paths), 1)[-1]["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {"holdfast.dev/component": "gateway"}}}],
            "ports": [{"port": 8000, "protocol": "TCP"}],
        }
    ]


def test_every_child_belongs_to_its_deployment() -> None:
    model, paths = MINIMAL["vllm"]
    serving = {**FULL_SERVING, "retention": "Delete"}
    children = engine_objects(owner(model, **serving), revision(model, paths), 1) + shared_objects(owner(model, **serving))
    for child in children:
        (reference,) = child["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["uid"], reference["controller"]) == ("ModelDeployment", "uid-1", True)
        assert child["metadata"]["namespace"] == "team-a"


def test_the_config_map_holds_the_lists_that_the_pod_is_told_to_expect() -> None:
    model, paths = FULL["vllm"]
    config = engine_objects(owner(model), revision(model, paths), 1)[0]
    digest = hashlib.sha256(config["data"]["artifacts.json"].encode()).hexdigest()
    assert f"--artifacts-digest=sha256:{digest}" in pod(model, paths)["initContainers"][0]["args"]
    assert config["immutable"] is True


def test_nothing_is_rendered_from_a_spec_that_cannot_be_read() -> None:
    model, paths = MINIMAL["vllm"]
    view = owner(model)
    broken = DeploymentView(meta=view.meta, spec=None, status=view.status, invalid="spec.model: required")
    with pytest.raises(ValueError, match="not readable"):
        engine_objects(broken, revision(model, paths), 1)
    with pytest.raises(ValueError, match="not readable"):
        shared_objects(broken)


def test_a_revision_of_a_newer_operator_is_not_rendered_by_guessing() -> None:
    model, paths = MINIMAL["vllm"]
    with pytest.raises(ValueError, match="render version 99"):
        engine_objects(owner(model), revision(model, paths, version=99), 1)


def test_a_model_of_another_engine_has_another_pod() -> None:
    assert pod(declared("VLLM"), ("config.json", "model.safetensors")) != pod(
        declared("SGLang"), ("config.json", "model.safetensors")
    )


@every
def test_what_holdfast_sets_cannot_be_set_otherwise(model: Model, paths: tuple[str, ...]) -> None:
    own = {argument.split("=", 1)[0] for argument in model.engine.args or ()}
    rendered = {argument.split("=", 1)[0] for argument in pod(model, paths)["containers"][0]["args"] if argument.startswith("--")}
    free = {flag for flag in rendered - own if refusal(model.engine.type, f"{flag}=other") is None}
    assert free == set()


def test_the_kubelet_hands_arguments_on_as_they_are() -> None:
    model = declared("VLLM", engine_fields={"args": ["--max-num-seqs=$(VLLM_PLUGINS)"]})
    args = pod(model, ("config.json", "model.safetensors"))["containers"][0]["args"]
    assert args[-1] == "--max-num-seqs=$$(VLLM_PLUGINS)"
