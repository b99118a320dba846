"""The chart as Helm renders and installs it, and the manifests made from it."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.manifests import changed, deployment, path_of
from apiserver.rest import Rest
from apiserver.world import CHART, HOME, IMAGES, World, at, eventually, helm
from holdfast.settings import OperatorSettings
from testbed import Testbed

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
IMAGE = "registry.example/holdfast@sha256:" + "a" * 64

Manifest = dict[str, Any]


def rendered(bed: Testbed, *values: str) -> list[Manifest]:
    text = helm(bed, "template", "holdfast", str(CHART), f"--namespace={HOME}", *IMAGES, *values)
    return [document for document in yaml.safe_load_all(text) if document]


def of(documents: list[Manifest], kind: str, name: str = "holdfast-operator") -> Manifest:
    return next(item for item in documents if item["kind"] == kind and item["metadata"]["name"] == name)


def pod_of(documents: list[Manifest]) -> Manifest:
    spec: Manifest = of(documents, "Deployment")["spec"]["template"]["spec"]
    return spec


def variables(documents: list[Manifest]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in pod_of(documents)["containers"][0]["env"]}


def refusal(bed: Testbed, *values: str) -> str:
    command = [str(bed.programs.path("helm")), "template", "holdfast", str(CHART), *values]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    return result.stderr


def test_images_are_needed_by_digest(bed: Testbed) -> None:
    repository, gateway = IMAGES[0].split(",")[0], IMAGES[1]
    assert "image.repository is needed" in refusal(bed, gateway)
    assert "image.digest is needed" in refusal(bed, repository, gateway)
    assert "gatewayImage.digest is needed" in refusal(bed, IMAGES[0])
    assert "weightsImage.digest is needed" in refusal(bed, *IMAGES, "--set=weightsImage.repository=registry.example/w")
    assert "weightsImage.repository is needed" in refusal(bed, *IMAGES, f"--set=weightsImage.digest=sha256:{'c' * 64}")
    assert "additional properties 'imag' not allowed" in refusal(bed, *IMAGES, "--set=imag=1")


def test_weights_are_fetched_by_the_operators_image_unless_another_is_named(bed: Testbed) -> None:
    assert variables(rendered(bed))["HOLDFAST_WEIGHTS_IMAGE"] == IMAGE
    other = f"--set=weightsImage.repository=registry.example/w,weightsImage.digest=sha256:{'c' * 64}"
    assert variables(rendered(bed, other))["HOLDFAST_WEIGHTS_IMAGE"] == "registry.example/w@sha256:" + "c" * 64


def test_the_hubs_token_is_a_file(bed: Testbed) -> None:
    documents = rendered(bed, "--set=hub.tokenSecret.name=hub,hub.tokenSecret.key=read")
    assert variables(documents)["HOLDFAST_HUB_TOKEN_FILE"] == "/var/run/secrets/holdfast/hub/token"
    secret = {"secretName": "hub", "items": [{"key": "read", "path": "token"}]}
    assert {"name": "hub-token", "secret": secret} in pod_of(documents)["volumes"]
    assert "HOLDFAST_HUB_TOKEN_FILE" not in variables(rendered(bed))


def test_what_opens_registries_is_a_file_and_their_mirrors_are_told(bed: Testbed) -> None:
    mirrors = {"docker.io": ["https://m.example/v2/hub", "http://10.0.0.5:5000"]}
    servers = {"registry.gitlab.example": "gitlab.example"}
    documents = rendered(
        bed,
        "--set=registries.credentialsSecret.name=reader",
        f"--set-json=registries.mirrors={json.dumps(mirrors)}",
        f"--set-json=registries.tokenServers={json.dumps(servers)}",
    )
    settings = OperatorSettings.from_environment(variables(documents))
    assert settings.registry_mirrors == {name: tuple(urls) for name, urls in mirrors.items()}
    assert settings.registry_token_servers == servers
    folder = "/var/run/secrets/holdfast/registries"
    assert str(settings.registry_credentials_file) == f"{folder}/config.json"
    secret = {"secretName": "reader", "items": [{"key": ".dockerconfigjson", "path": "config.json"}]}
    assert {"name": "registry-credentials", "secret": secret} in pod_of(documents)["volumes"]
    mount = {"name": "registry-credentials", "mountPath": folder, "readOnly": True}
    assert mount in pod_of(documents)["containers"][0]["volumeMounts"]
    assert not [name for name in variables(rendered(bed)) if "REGISTRY" in name]


def test_an_operator_of_some_namespaces_has_rights_in_those_only(bed: Testbed) -> None:
    documents = rendered(bed, "--set=namespaces={team-a,team-b}")
    assert variables(documents)["HOLDFAST_NAMESPACES"] == "team-a,team-b"
    roles = [item["metadata"]["namespace"] for item in documents if item["kind"] == "Role"]
    assert roles == ["team-a", "team-b"]
    assert not [item for item in documents if item["kind"] == "ClusterRoleBinding"]


def test_guards_can_be_left_out(bed: Testbed) -> None:
    kinds = {item["kind"] for item in rendered(bed, "--set=guards.enabled=false")}
    assert "ValidatingAdmissionPolicy" not in kinds
    assert "ValidatingAdmissionPolicy" in {item["kind"] for item in rendered(bed)}


def test_an_unbound_token_is_enough_only_where_that_was_chosen(bed: Testbed) -> None:
    def operator(*values: str) -> str:
        policy = of(rendered(bed, *values), "ValidatingAdmissionPolicy", "holdfast-operator-only")
        return str(next(item["expression"] for item in policy["spec"]["variables"] if item["name"] == "isOperator"))

    assert "authentication.kubernetes.io/pod-uid" in operator()
    assert "pod-uid" not in operator("--set=guards.requireBoundToken=false")


def test_definitions_are_the_generated_ones_and_stay(bed: Testbed) -> None:
    shipped = {item["metadata"]["name"]: item for item in rendered(bed) if item["kind"] == "CustomResourceDefinition"}
    generated = [yaml.safe_load(file.read_text()) for file in (ROOT / "crds").iterdir()]
    assert shipped == {item["metadata"]["name"]: item for item in generated}
    assert all(item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for item in generated)


def test_the_operators_pod_is_restricted(world: World) -> None:
    namespace = {"metadata": {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    world.root.post("/api/v1/namespaces", namespace).must()
    account = "/api/v1/namespaces/strict/serviceaccounts/default"
    eventually(lambda: world.root.get(account).ok or None, "a service account")
    values = "--set=hub.tokenSecret.name=hub,registries.credentialsSecret.name=reader"
    spec = {**pod_of(rendered(world.bed, values)), "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator", "namespace": "strict"}, "spec": spec}
    world.root.post(at("pods", namespace="strict"), pod, dryRun="All").must()


def test_the_operator_has_no_more_rights_than_it_uses(world: World) -> None:
    review = {"spec": {"namespace": "team-a"}}
    answer = world.operator.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review).must()
    granted = {
        (group, resource, verb)
        for rule in answer["status"]["resourceRules"]
        for group in rule.get("apiGroups", [""])
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if group not in ("authorization.k8s.io", "authentication.k8s.io")
    }
    children = {"get", "list", "watch", "create", "update", "patch", "delete"}
    kinds = [("apps", "deployments"), ("", "services"), ("", "configmaps"), ("", "persistentvolumeclaims")]
    kinds += [("networking.k8s.io", "networkpolicies"), ("policy", "poddisruptionbudgets")]
    own = ("modeldeployments", "modelapprovals", "modelrevisions")
    assert granted == {
        *((group, resource, verb) for group, resource in kinds for verb in children),
        *(("holdfast.dev", kind, verb) for kind in own for verb in ("get", "list", "watch")),
        *(("holdfast.dev", f"{kind}/status", "update") for kind in own),
        ("holdfast.dev", "modelrevisions", "create"),
        *(("", "pods", verb) for verb in ("get", "list", "watch", "patch")),
        *(("batch", "jobs", verb) for verb in ("get", "list", "watch", "create", "delete")),
        ("", "secrets", "create"),
        ("events.k8s.io", "events", "create"),
    }


@pytest.mark.parametrize(("role", "decides"), [("view", False), ("edit", False), ("admin", False), ("holdfast-owner", True)])
def test_rights_to_decide_are_never_aggregated(world: World, role: str, decides: bool) -> None:
    def look() -> list[Manifest] | None:
        path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}"
        found = [rule for rule in world.root.get(path).must()["rules"] if "holdfast.dev" in rule.get("apiGroups", [])]
        return found or None

    verbs = {verb for rule in eventually(look, f"rules of {role}") for verb in rule["verbs"]}
    assert bool(verbs & {"approve", "fallback", "break-glass", "*"}) == decides
    assert "get" in verbs


def test_the_rendered_install_is_current(bed: Testbed) -> None:
    command = [sys.executable, str(MANIFESTS / "render.py"), "--check", "--helm", str(bed.programs.path("helm"))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"run: python manifests/render.py; {result.stderr}"


def test_the_rendered_install_is_accepted(world: World) -> None:
    names = {"Namespace": "namespaces", "ServiceAccount": "serviceaccounts", "Service": "services", "Deployment": "deployments"}
    for document in yaml.safe_load_all((MANIFESTS / "install.yaml").read_text()):
        if document["kind"] in ("Service", "Deployment", "ServiceAccount"):
            path = at(names[document["kind"]], document["metadata"]["name"], namespace=HOME)
            world.root.apply(path, document, manager="tests", force=True, dryRun="All", fieldValidation="Strict").must()


SAMPLES = [
    (file.name, document)
    for file in sorted((MANIFESTS / "samples").iterdir())
    for document in yaml.safe_load_all(file.read_text())
]


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(("file", "document"), SAMPLES, ids=[f"{file}-{document['kind']}" for file, document in SAMPLES])
def test_samples_are_accepted(admin: Rest, file: str, document: Manifest) -> None:
    path = f"/apis/{document['apiVersion']}/namespaces/default/{document['kind'].lower()}s"
    manifest = changed(document, {"metadata.namespace": "default"})
    admin.post(path, manifest, dryRun="All", fieldValidation="Strict").must()


def test_uninstalling_leaves_every_model_and_installing_again_takes_it_over() -> None:
    with Testbed(f"chart-{os.getpid()}", control_plane_only=True) as bed, contextlib.closing(Rest.of(bed.kubeconfig)) as root:
        install = ["install", "holdfast", str(CHART), f"--namespace={HOME}", "--create-namespace", *IMAGES]
        helm(bed, *install)
        model = deployment()
        eventually(lambda: root.post(path_of(model, collection=True), model).ok or None, "a model")
        helm(bed, "uninstall", "holdfast", f"--namespace={HOME}")
        assert root.get(path_of(model)).ok
        guards = root.get("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies").must()["items"]
        assert [item["metadata"]["name"] for item in guards if item["metadata"]["name"].startswith("holdfast-")] == []
        helm(bed, *install)
        assert root.get(path_of(model)).ok
