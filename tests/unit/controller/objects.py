"""Wire objects for the tests of the controller."""

from typing import Any

from builders import NAME, NAMESPACE, model
from holdfast.api.names import API_VERSION

Manifest = dict[str, Any]


def metadata(name: str, version: int, uid: str, **more: Any) -> Manifest:
    return {
        "namespace": NAMESPACE,
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-11-21T09:00:00Z",
    } | more


def deployment(version: int = 1, *, name: str = NAME, uid: str = "md-1", **more: Any) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": metadata(name, version, uid),
        "spec": {"model": model()},
    } | more


def owner(uid: str = "md-1", name: str = NAME) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": "ModelDeployment", "name": name, "uid": uid, "controller": True}


def engine(version: int = 1, *, number: int = 1, uid: str = "deploy-1", **status: Any) -> Manifest:
    labels = {
        "holdfast.dev/component": "engine",
        "holdfast.dev/deployment": NAME,
        "holdfast.dev/revision": str(number),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(f"{NAME}-{number}", version, uid, labels=labels, ownerReferences=[owner()]),
        "spec": {"replicas": 2},
        "status": status,
    }


def pod(version: int = 1, *, uid: str = "pod-1", number: str = "1", component: str = "engine", **status: Any) -> Manifest:
    labels = {
        "holdfast.dev/component": component,
        "holdfast.dev/deployment": NAME,
        "holdfast.dev/revision": number,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(f"pod-{uid}", version, uid, labels=labels),
        "spec": {},
        "status": status,
    }
