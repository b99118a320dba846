"""The real API server takes what is rendered, and gives it back as it was: comparing finds real differences only."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import pytest

from apiserver.rest import Rest
from holdfast.api.model import Model
from holdfast.domain.retention import Named
from holdfast.render.deployment import engine_objects, shared_objects
from unit.render.cases import CLAIM, FULL, FULL_SERVING, MANY_PARTS, MINIMAL, MIXED, owner, revision

NAMESPACE = "team-a"
COLLECTIONS = {
    "ConfigMap": "/api/v1/namespaces/team-a/configmaps",
    "Job": "/apis/batch/v1/namespaces/team-a/jobs",
    "Deployment": "/apis/apps/v1/namespaces/team-a/deployments",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/team-a/networkpolicies",
    "PersistentVolumeClaim": "/api/v1/namespaces/team-a/persistentvolumeclaims",
    "Service": "/api/v1/namespaces/team-a/services",
}
SERVERS_OWN = {
    ".metadata.creationTimestamp",
    ".metadata.generation",
    ".metadata.managedFields",
    ".metadata.resourceVersion",
    ".metadata.uid",
    ".metadata.finalizers",  # of a claim
    ".spec.clusterIP",
    ".spec.clusterIPs",
    ".spec.ipFamilies",
    ".spec.ipFamilyPolicy",
    ".spec.template.metadata.labels.batch.kubernetes.io/controller-uid",
    ".spec.template.metadata.labels.batch.kubernetes.io/job-name",
    ".spec.template.metadata.labels.controller-uid",
    ".spec.template.metadata.labels.job-name",
    ".status",
}
NAMED = Named(revision=2, manifest_digests=(f"sha256:{'a' * 64}",))
CACHES: dict[str, dict[str, Any]] = {
    "claim": CLAIM,
    "unused": CLAIM | {"unused": "Delete"},
    **{kind: {"type": kind} for kind in ("EmptyDir", "Image", "Volume")},
}
CASES = {
    **{f"{name}-minimal": (*case, {}) for name, case in MINIMAL.items()},
    **{f"{name}-full": (*case, FULL_SERVING) for name, case in FULL.items()},
    **{f"many-parts-{name}": (*MANY_PARTS, {"cache": cache}) for name, cache in CACHES.items()},
    **{f"mixed-{name}": (*MIXED, {"cache": cache, "registryCredentials": {"name": "pull"}}) for name, cache in CACHES.items()},
}
every = pytest.mark.parametrize(("model", "paths", "serving"), CASES.values(), ids=CASES)


@pytest.fixture(scope="module")
def namespace(admin: Rest) -> Iterator[str]:
    """A namespace that takes restricted pods only, with the priority class that the cases name."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    admin.apply(f"/api/v1/namespaces/{NAMESPACE}", body, manager="tests").must()
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "models"},
        "value": 1000,
    }
    admin.apply("/apis/scheduling.k8s.io/v1/priorityclasses/models", priority, manager="tests").must()
    deadline = time.monotonic() + 30
    while not admin.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default").ok:  # pods are refused without
        assert time.monotonic() < deadline, "no service account was made for the namespace"
        time.sleep(0.05)
    yield NAMESPACE
    admin.delete("/apis/scheduling.k8s.io/v1/priorityclasses/models")


def differences(sent: object, stored: object, path: str = "") -> list[str]:
    """Name what is not the same, but for what belongs to the server."""
    if path in SERVERS_OWN:
        return []
    if isinstance(sent, dict) and isinstance(stored, dict):
        found: list[str] = []
        for key in sorted(sent.keys() | stored.keys()):
            inner = f"{path}.{key}"
            if key in sent and key in stored:
                found += differences(sent[key], stored[key], inner)
            elif inner not in SERVERS_OWN:
                found.append(f"{inner} is only in what was {'sent' if key in sent else 'stored'}")
        return found
    if isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        pairs = enumerate(zip(sent, stored, strict=True))
        return [text for index, (a, b) in pairs for text in differences(a, b, f"{path}[{index}]")]
    return [] if sent == stored else [f"{path}: {sent!r} became {stored!r}"]


@every
def test_nothing_is_filled_in_dropped_or_rewritten(
    admin: Rest, namespace: str, model: Model, paths: tuple[str, ...], serving: dict[str, Any]
) -> None:
    view = owner(model, **serving)
    for manifest in [*engine_objects(view, revision(model, paths), 2), *shared_objects(view), *shared_objects(view, NAMED)]:
        stored = admin.call("POST", COLLECTIONS[manifest["kind"]], manifest, dryRun="All", fieldValidation="Strict").must()
        if manifest["kind"] == "Job":
            del stored["spec"]["selector"]  # by the uid that it was given
        assert differences(manifest, stored) == [], manifest["kind"]


@every
def test_its_pods_are_admitted_where_only_restricted_ones_are(
    admin: Rest, namespace: str, model: Model, paths: tuple[str, ...], serving: dict[str, Any]
) -> None:
    found = engine_objects(owner(model, **serving), revision(model, paths), 1)
    templates = [manifest["spec"]["template"] for manifest in found if manifest["kind"] in {"Deployment", "Job"}]
    assert templates
    for template in templates:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": NAMESPACE}, "spec": template["spec"]}
        admin.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod, dryRun="All").must()


def test_the_namespace_does_refuse_other_pods(admin: Rest, namespace: str) -> None:
    model, paths = MINIMAL["vllm"]
    spec = copy.deepcopy(engine_objects(owner(model), revision(model, paths), 1)[-1]["spec"]["template"]["spec"])
    spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "engine", "namespace": NAMESPACE}, "spec": spec}
    assert admin.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod, dryRun="All").status == 403
