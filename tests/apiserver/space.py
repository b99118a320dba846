"""A namespace of a real API server, as its people, its controllers and a kubelet see it."""

from typing import Any, Final

from apiserver.rest import Rest
from builders import model

NAME: Final = "support-chat"
Manifest = dict[str, Any]


class Namespace:
    """A namespace, as its people see it."""

    def __init__(self, admin: Rest, name: str) -> None:
        self.admin = admin
        self.name = name

    def path(self, plural: str, name: str = "") -> str:
        group = {
            "deployments": "/apis/apps/v1",
            "networkpolicies": "/apis/networking.k8s.io/v1",
            "events": "/apis/events.k8s.io/v1",
            "modeldeployments": "/apis/holdfast.dev/v1alpha1",
            "modelrevisions": "/apis/holdfast.dev/v1alpha1",
            "modelapprovals": "/apis/holdfast.dev/v1alpha1",
        }.get(plural, "/api/v1")
        return f"{group}/namespaces/{self.name}/{plural}" + (f"/{name}" if name else "")

    def read(self, plural: str, name: str = "") -> Manifest:
        return self.admin.get(self.path(plural, name)).must()

    def exists(self, plural: str, name: str) -> bool:
        return self.admin.get(self.path(plural, name)).ok

    def create(self, plural: str, body: Manifest) -> Manifest:
        return self.admin.call("POST", self.path(plural), body).must()

    def patch(self, plural: str, name: str, body: Manifest, content: str = "application/merge-patch+json") -> Manifest:
        return self.admin.call("PATCH", self.path(plural, name), body, content=content).must()

    def versions(self) -> dict[str, str]:
        """The resourceVersion of every object that the operator has to do with."""
        kinds = (
            "modeldeployments", "modelrevisions", "modelapprovals",
            "services", "configmaps", "networkpolicies", "events",
        )  # fmt: skip
        return {
            f"{plural}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for plural in kinds
            for item in self.read(plural)["items"]
            if plural != "events" or item.get("reportingController") == "holdfast.dev/operator"
        }

    # what people do

    def declare(self, letter: str = "a", **serving: Any) -> Manifest:
        return self.declare_spec({"model": model(letter)} | ({"serving": serving} if serving else {}))

    def declare_spec(self, spec: Manifest) -> Manifest:
        body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": NAME}, "spec": spec}
        return self.create("modeldeployments", body)

    def status(self) -> Manifest:
        status: Manifest = self.read("modeldeployments", NAME).get("status", {})
        return status

    def phase(self) -> str | None:
        return self.status().get("phase")

    def approve(self, name: str = "yes", gate: str = "Start") -> None:
        request = self.status()["request"]
        target = {"name": NAME, "digest": request["digest"], "request": request["number"]}
        target |= {"base": request["base"]} if "base" in request else {}
        spec = {"decision": "Approve", "gate": gate, "target": target, "approver": {"username": "kubernetes-admin"}}
        body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "ModelApproval", "metadata": {"name": name}, "spec": spec}
        self.create("modelapprovals", body)

    def pods(self, number: int = 1) -> list[Manifest]:
        selector = f"holdfast.dev/deployment={NAME},holdfast.dev/revision={number}"
        found: list[Manifest] = self.admin.get(self.path("pods"), labelSelector=selector).must()["items"]
        return found

    def run_pods(self, number: int = 1) -> bool:
        """Play the kubelet: let the pods of a revision be verified and ready; say whether all that should exist do."""
        pods = self.pods(number)
        for pod in pods:
            del pod["metadata"]["resourceVersion"]  # the scheduler writes there as well
            pod["status"] = {
                "phase": "Running",
                "conditions": [{"type": kind, "status": "True"} for kind in ("Initialized", "ContainersReady", "Ready")],
                "initContainerStatuses": [ended("weights")],
            }
            self.admin.call("PUT", self.path("pods", pod["metadata"]["name"]) + "/status", pod).must()
        wanted: int = self.read("deployments", f"{NAME}-{number}")["spec"]["replicas"]
        return len(pods) == wanted


def ended(name: str, code: int = 0, message: str = "") -> Manifest:
    state = {"terminated": {"exitCode": code, "message": message, "containerID": "containerd://1"}}
    return {"name": name, "state": state, "ready": code == 0, "restartCount": 0, "image": "x", "imageID": "x"}
