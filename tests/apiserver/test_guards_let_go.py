"""The guards hold nothing up: rollouts go on, and what is deleted goes, whoever of the control plane has to help."""

import itertools
from collections.abc import Iterator

import pytest

from apiserver.kubelet import NODE
from apiserver.world import Manifest, World, at, eventually, make_model
from holdfast.api import names

_numbers = itertools.count(1)


@pytest.fixture
def namespace(world: World) -> Iterator[str]:
    name = f"gone-{next(_numbers)}"
    world.root.post("/api/v1/namespaces", {"metadata": {"name": name}}).must()
    make_model(world, name)
    eventually(lambda: items(world, "pods", name) or None, "pods")
    yield name
    world.root.delete(f"/api/v1/namespaces/{name}")


def items(world: World, kind: str, namespace: str) -> list[Manifest]:
    found: list[Manifest] = world.root.get(at(kind, namespace=namespace)).must()["items"]
    return found


def gone(world: World, kind: str, namespace: str, *, deployment: str = "chat") -> bool | None:
    """Whether no child of this kind is left."""
    left = [
        item
        for item in items(world, kind, namespace)
        if item["metadata"].get("labels", {}).get(names.LABEL_DEPLOYMENT) == deployment
    ]
    return None if left else True


CHILDREN = (
    "deployments",
    "replicasets",
    "jobs",
    "pods",
    "services",
    "endpointslices",
    "configmaps",
    "persistentvolumeclaims",
    "networkpolicies",
)


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_a_deleted_model_takes_its_children_along(world: World, namespace: str, policy: str) -> None:
    path = at("modeldeployments", "chat", namespace=namespace)
    world.root.delete(path, propagationPolicy=policy).must()
    eventually(lambda: world.root.get(path).status == 404 or None, f"{policy} deletion of the model")
    for kind in CHILDREN:
        eventually(lambda kind=kind: gone(world, kind, namespace), f"{kind} deleted")  # type: ignore[misc]
    assert [item["metadata"]["name"] for item in items(world, "modelrevisions", namespace)] == ["chat-1"]


def test_a_model_is_deleted_without_its_children(world: World, namespace: str) -> None:
    path = at("modeldeployments", "chat", namespace=namespace)
    world.root.delete(path, propagationPolicy="Orphan").must()
    eventually(lambda: world.root.get(path).status == 404 or None, "deletion of the model")
    engine = world.root.get(at("deployments", "chat-1", namespace=namespace)).must()
    assert "ownerReferences" not in engine["metadata"]


def test_a_namespace_with_everything_in_it_goes(world: World, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    world.root.delete(path).must()
    eventually(lambda: world.root.get(path).status == 404 or None, "deletion of the namespace")


def test_a_rollout_of_the_gateway_goes_on(world: World, namespace: str) -> None:
    """Deployment, ReplicaSet and endpoint controllers do their work under the guards."""
    image = {
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "registry.example/newer@sha256:" + "e" * 64}]}}}
    }
    path = at("deployments", names.GATEWAY_NAME, namespace=namespace)
    world.operator.patch(path, image, content="application/strategic-merge-patch+json").must()

    def rolled() -> bool | None:
        status = world.root.get(path).must()["status"]
        return True if status.get("updatedReplicas") == 1 and status.get("observedGeneration", 0) > 1 else None

    eventually(rolled, "another ReplicaSet with a pod")


def test_a_deleted_pod_comes_back_from_the_same_template(world: World, namespace: str) -> None:
    def engine() -> Manifest | None:
        found = world.root.get(at("pods", namespace=namespace), labelSelector=f"{names.LABEL_COMPONENT}=engine").must()["items"]
        alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return alive[0] if alive else None

    before = eventually(engine, "a pod of the engine")
    world.root.delete(at("pods", before["metadata"]["name"], namespace=namespace)).must()

    def replaced() -> Manifest | None:
        pod = engine()
        return pod if pod and pod["metadata"]["uid"] != before["metadata"]["uid"] else None

    after = eventually(replaced, "another pod of the engine")
    assert after["spec"]["containers"][0]["image"] == before["spec"]["containers"][0]["image"]


def test_a_job_that_fetches_comes_to_its_end(world: World, namespace: str) -> None:
    """The Job controller makes the pod, counts it and lets it go, under the guards of pods and of workloads."""

    def scheduled() -> Manifest | None:
        query = {"labelSelector": f"{names.LABEL_COMPONENT}=weights", "fieldSelector": f"spec.nodeName={NODE}"}
        found = world.root.get(at("pods", namespace=namespace), **query).must()["items"]
        return found[0] if found else None

    pod = eventually(scheduled, "the Job's pod on the node")
    ended = [
        {"name": "main", "state": {"terminated": {"exitCode": 0}}, "image": "", "imageID": "", "ready": False, "restartCount": 0}
    ]
    path = at("pods", pod["metadata"]["name"], namespace=namespace, sub="status")
    world.people["kubelet"].patch(path, {"status": {"phase": "Succeeded", "containerStatuses": ended}}).must()

    def complete() -> bool | None:
        found = world.root.get(at("jobs", "chat-1-weights", namespace=namespace)).must()
        conditions = found.get("status", {}).get("conditions") or []
        return True if any(each["type"] == "Complete" and each["status"] == "True" for each in conditions) else None

    eventually(complete, "the Job complete")


def test_a_ready_pod_gets_traffic(world: World, namespace: str) -> None:
    """What kubelets report reaches the endpoints, through the guards of pods and of endpoints."""

    def scheduled() -> Manifest | None:
        query = {"labelSelector": f"{names.LABEL_COMPONENT}=engine", "fieldSelector": f"spec.nodeName={NODE}"}
        found = world.root.get(at("pods", namespace=namespace), **query).must()["items"]
        return found[0] if found else None

    pod = eventually(scheduled, "the engine's pod on the node")
    conditions = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "podIP": "10.9.0.1", "podIPs": [{"ip": "10.9.0.1"}], "conditions": conditions}
    path = at("pods", pod["metadata"]["name"], namespace=namespace, sub="status")
    world.people["kubelet"].patch(path, {"status": status}).must()

    def listed() -> bool | None:
        found = world.root.get(
            at("endpointslices", namespace=namespace), labelSelector="kubernetes.io/service-name=chat-1"
        ).must()
        return any(address["addresses"] == ["10.9.0.1"] for item in found["items"] for address in item["endpoints"] or ()) or None

    eventually(listed, "the pod's address among the endpoints")
