"""A deployment that serves, with everything that the operator and the kubelet made of it, in the stand-in of the API server."""

import copy
import hashlib
import json
from typing import Any

import builders
from holdfast.api import names
from holdfast.api.deployment import ModelDeploymentStatus, RevisionRole
from holdfast.api.model import Model
from holdfast.api.reasons import Phase
from holdfast.cluster import kinds
from holdfast.domain.snapshot import RevisionView
from holdfast.render import deployment as renderer
from unit.cli.api_stand_in import ApiStandIn, Object
from unit.cli.conftest import deployed, revised

NAME = builders.NAME
ENGINE = f"{NAME}-1"
POD = f"{ENGINE}-5d8f-x"


def served(api: ApiStandIn, *, replicas: int = 1, cache: Object | None = None) -> str:
    """Revision 1 serves. Returns its digest."""
    serving: Object = {"serving": {"replicas": replicas} | ({"cache": cache} if cache else {})}
    start = {
        "approval": "start-1",
        "uid": "uid-start-1",
        "revision": 1,
        "decision": "Approve",
        "gate": "Start",
        "request": 1,
        "by": "alice@example.com",
        "at": "2026-11-21T10:00:00Z",
    }
    digest = revised(api, 1, "a", status={"decisions": [start], "promotedAt": "2026-11-21T10:05:00Z"})
    target = {"name": NAME, "digest": digest, "request": 1}
    approval = {"decision": "Approve", "gate": "Start", "target": target, "approver": {"username": "alice@example.com"}}
    api.put("modelapprovals", "start-1", spec=approval, status={"state": "Accepted"})
    status = ModelDeploymentStatus(phase=Phase.STABLE, stable=RevisionRole(revision=1, digest=digest, approved_by="alice"))
    deployed(api, status, **serving)
    spec = builders.spec(**serving)
    view = builders.deployment(spec)
    view = type(view)(meta=builders.meta(uid=f"uid-{NAME}"), spec=spec, status=status)
    revision: RevisionView = builders.revision(Model.parse(builders.model("a")), 1)
    for made in (*renderer.shared_objects(view), *renderer.engine_objects(view, revision, replicas)):
        parts = {name: value for name, value in made.items() if name not in ("apiVersion", "kind")}
        api.put(kinds.of(made).plural, made["metadata"]["name"], **copy.deepcopy(parts))
    owner = {"kind": "Deployment", "name": ENGINE, "uid": f"uid-{ENGINE}", "controller": True}
    api.put("replicasets", f"{ENGINE}-5d8f", metadata={"ownerReferences": [owner]}, spec={})
    for number in range(replicas):
        run(api, POD if not number else f"{POD}{number}")
    return digest


def run(api: ApiStandIn, name: str) -> None:
    """Let a pod run as its template says."""
    engine = api.get("deployments", ENGINE)
    spec = copy.deepcopy(engine["spec"]["template"]["spec"])
    spec |= {
        "nodeName": "node-1",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "priority": 0,
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
    }
    said = json.dumps({"reason": "Verified", "message": "model: verified 1 files, 1000 bytes"})
    ended = {"terminated": {"exitCode": 0, "message": said}}
    images = [(each["name"], each["image"]) for each in spec["containers"]]
    status: dict[str, Any] = {
        "phase": "Running",
        "containerStatuses": [
            {"name": container, "image": image, "imageID": image, "ready": True, "state": {"running": {}}}
            for container, image in images
        ],
        "initContainerStatuses": [
            {"name": each["name"], "state": ended if each["name"].startswith("weights") else {"running": {}}}
            for each in spec["initContainers"]
        ],
    }
    owner = {"kind": "ReplicaSet", "name": f"{ENGINE}-5d8f", "uid": f"uid-{ENGINE}-5d8f", "controller": True}
    labels = {**engine["spec"]["template"]["metadata"]["labels"], "pod-template-hash": "5d8f"}
    api.put("pods", name, metadata={"labels": labels, "ownerReferences": [owner]}, spec=spec, status=status)


def answering(api: ApiStandIn, *, told: bool = True, **fields: Any) -> None:
    """Let the operator hand the question on, and the sidecar of every pod answer it; `fields` are what it says otherwise."""

    def answer(deployment: Object) -> None:
        word = deployment["metadata"]["annotations"].get(names.ANNOTATION_VERIFY)
        if word is None or not told:
            return
        for pod in api.listed("pods", lambda _: True)[0]:
            name = pod["metadata"]["name"]
            change(api, "pods", name, "metadata", "annotations", to={names.ANNOTATION_VERIFY: word})
            said = {"verify": word, "outcome": "verified", "message": "model: verified 1 files, 1000 bytes by sha256"}
            said |= {"ready": True, "engine": "the engine is what was approved", "reported": {"version": "0.32.0"}}
            api.logs[name, "identity"] = 'started\n{"level": "info"}\n' + json.dumps(said | fields) + "\n"

    api.on_annotate = answer


def change(api: ApiStandIn, resource: str, name: str, *path: Any, to: Any) -> None:
    """Set one field of an object, as somebody who should not."""
    item = api.get(resource, name)
    place: Any = item
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    api.put(resource, name, **{part: value for part, value in item.items() if part not in ("apiVersion", "kind")})


def pinned(text: str) -> str:
    """Return an image with another digest than any that is pinned."""
    return f"registry.example/engine@sha256:{hashlib.sha256(text.encode()).hexdigest()}"


__all__ = ["ENGINE", "NAME", "POD", "answering", "change", "names", "pinned", "run", "served"]
