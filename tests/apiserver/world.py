"""A guarded cluster with one pinned model in it, and the people and machines that come near it."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from apiserver.kubelet import NODE, Kubelet
from apiserver.manifests import API_VERSION, approval, changed, decision, deployment, path_of, revision
from apiserver.rest import Rest
from holdfast.api import names
from testbed import Testbed

CHART = Path(__file__).parents[2] / "charts/holdfast"
HOME = "holdfast-system"
TEAM = "team-a"
OPERATOR = f"system:serviceaccount:{HOME}:holdfast-operator"
IMAGES = [
    f"--set=image.repository=registry.example/holdfast,image.digest=sha256:{'a' * 64}",
    f"--set=gatewayImage.digest=sha256:{'b' * 64}",
]
PATIENCE = 60.0  # the garbage collector looks for new kinds every 30 s

Manifest = dict[str, Any]
Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str) -> Found:
    """Look until there is something."""
    deadline = time.monotonic() + PATIENCE
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.05)
    return found


def helm(bed: Testbed, *arguments: str) -> str:
    """Run helm as a cluster administrator."""
    command = [str(bed.programs.path("helm")), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=bed.environment(), timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@dataclass(slots=True)
class World:
    """Who there is, by name, and how the pods are called that controllers made."""

    bed: Testbed
    people: dict[str, Rest] = field(default_factory=dict)
    operator_pod: str = ""
    engine_pod: str = ""
    gateway_pod: str = ""
    engine_slice: str = ""
    replica_set: str = ""

    @property
    def root(self) -> Rest:
        """The cluster's administrator."""
        return self.people["root"]

    @property
    def operator(self) -> Rest:
        """The operator, with a token that a kubelet got for its pod."""
        return self.people["operator"]

    def close(self) -> None:
        """Close all connections."""
        for person in self.people.values():
            person.close()


@contextlib.contextmanager
def guarded_world(bed: Testbed) -> Iterator[World]:
    """Install the chart with Helm, let people in, and have the operator make what it makes for a model."""
    world = World(bed, {"root": Rest.of(bed.kubeconfig)})
    node = bed.user(f"system:node:{NODE}", groups=["system:nodes"])
    world.people["kubelet"] = Rest.of(node)
    with contextlib.closing(world), Kubelet(Rest.of(node)):
        _install(world)
        _people(world)
        _model(world)
        yield world


def _install(world: World) -> None:
    """Install without guards, take a token that nobody should have, and upgrade to guards."""
    release = ["holdfast", str(CHART), f"--namespace={HOME}", *IMAGES]
    helm(world.bed, "install", *release, "--create-namespace", "--set=guards.enabled=false")
    answer = world.root.post(f"/api/v1/namespaces/{HOME}/serviceaccounts/holdfast-operator/token", {"spec": {}})
    world.people["unbound operator"] = world.root.with_token(answer.must()["status"]["token"])
    helm(world.bed, "upgrade", *release, "--set=guards.refuseImpersonation=true")
    world.people["operator"] = _as_kubelet_hands_it_out(world)


def _as_kubelet_hands_it_out(world: World) -> Rest:
    pod = eventually(lambda: _pod(world.root, HOME, "app.kubernetes.io/name=holdfast"), "a pod of the operator on the node")
    world.operator_pod = pod["metadata"]["name"]
    reference = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}

    def ask() -> str | None:  # the node authorizer learns of the binding a moment later
        path = f"/api/v1/namespaces/{HOME}/serviceaccounts/holdfast-operator/token"
        answer = world.people["kubelet"].post(path, {"spec": {"boundObjectRef": reference}})
        return str(answer.body["status"]["token"]) if answer.ok else None

    return world.root.with_token(eventually(ask, "a token for the operator's pod"))


def _pod(root: Rest, namespace: str, selector: str) -> Manifest | None:
    """A pod that the scheduler has put on the node."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    items = root.get(path, labelSelector=selector, fieldSelector=f"spec.nodeName={NODE}").must()["items"]
    return items[0] if items else None


def _people(world: World) -> None:
    root = world.root
    for namespace in (TEAM, "argocd"):
        root.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).must()
    every = {"apiGroups": ["*"], "resources": ["*"]}
    standard = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
    grant(root, "everything", [{**every, "verbs": ["*"]}])
    grant(root, "everything-standard", [{**every, "verbs": standard}])
    grant(root, "impersonator", [{"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}])
    owned = {
        "apiGroups": [names.GROUP],
        "resources": ["modeldeployments"],
        "resourceNames": ["chat"],
        "verbs": ["approve", "fallback"],
    }
    approvals = {"apiGroups": [names.GROUP], "resources": ["modelapprovals"], "verbs": ["get", "list", "create", "delete"]}
    grant(root, "holdfast-owner-chat", [owned, approvals])
    for person, roles in {
        "alice": ["edit", "holdfast-owner-chat"],
        "bob": ["view", "holdfast-oncall"],
        "dave": ["edit"],
        "erin": ["edit", "holdfast-break-glass"],
        "frank": ["everything-standard"],
    }.items():
        for role in roles:
            bind_role(root, TEAM, role, {"kind": "User", "name": person})
        world.people[person] = Rest.of(world.bed.user(person))
    bind_role(root, HOME, "edit", {"kind": "User", "name": "ned"})
    world.people["ned"] = Rest.of(world.bed.user("ned"))
    bind_role(root, None, "impersonator", {"kind": "User", "name": "heidi"})
    world.people["heidi as alice"] = Rest.of(world.bed.user("heidi")).as_user("alice")
    world.people["root as the operator"] = root.as_user(OPERATOR)
    world.people["the pods' maker"] = root.as_user("system:serviceaccount:kube-system:replicaset-controller")
    world.people["a certificate of the operator"] = Rest.of(world.bed.user(OPERATOR))
    for namespace, name, role, scope in ((TEAM, "bot", "holdfast-owner", TEAM), ("argocd", "argocd", "everything", None)):
        root.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}}).must()
        bind_role(root, scope, role, {"kind": "ServiceAccount", "name": name, "namespace": namespace})
        answer = root.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", {"spec": {}}).must()
        world.people[name] = root.with_token(answer["status"]["token"])
    world.people["a certificate of the bot"] = Rest.of(world.bed.user(f"system:serviceaccount:{TEAM}:bot"))
    eventually(lambda: _can(world.people["dave"], "update", "modeldeployments", names.GROUP) or None, "roles in force")


def _can(person: Rest, verb: str, resource: str, group: str) -> bool:
    attributes = {"namespace": TEAM, "verb": verb, "resource": resource, "group": group}
    review = {"spec": {"resourceAttributes": attributes}}
    answer = person.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer.must()["status"]["allowed"])


def grant(root: Rest, name: str, rules: list[Manifest]) -> None:
    """Create a ClusterRole."""
    root.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": name}, "rules": rules}).must()


def bind_role(root: Rest, namespace: str | None, role: str, subject: Manifest) -> None:
    """Bind a ClusterRole in a namespace, or everywhere."""
    path = f"/apis/rbac.authorization.k8s.io/v1/{f'namespaces/{namespace}/rolebindings' if namespace else 'clusterrolebindings'}"
    body = {
        "metadata": {"generateName": f"{role}-"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    root.post(path, body).must()


def labels(component: str, number: str = "") -> dict[str, str]:
    found = {names.LABEL_COMPONENT: component, names.LABEL_DEPLOYMENT: "chat"}
    return found | ({names.LABEL_REVISION: number} if number else {})


def workload(name: str, marks: dict[str, str], namespace: str = TEAM) -> Manifest:
    image = "registry.example/main@sha256:" + "c" * 64
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": "10m"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": marks},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": marks},
            "template": {"metadata": {"labels": marks}, "spec": {"containers": [container]}},
        },
    }


def service(name: str, marks: dict[str, str], selector: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": TEAM, "labels": marks},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }


def config(name: str, marks: dict[str, str], namespace: str = TEAM) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": marks},
        "data": {"rds.yaml": "arm-1: 10000"},
    }


def at(kind: str, name: str = "", *, namespace: str = TEAM, sub: str = "") -> str:
    """The path of an object of the usual kinds, or of their collection."""
    group = {
        "deployments": "apps/v1",
        "replicasets": "apps/v1",
        "jobs": "batch/v1",
        "cronjobs": "batch/v1",
        "endpointslices": "discovery.k8s.io/v1",
        "networkpolicies": "networking.k8s.io/v1",
        "poddisruptionbudgets": "policy/v1",
        "modeldeployments": API_VERSION,
        "modelrevisions": API_VERSION,
        "modelapprovals": API_VERSION,
    }.get(kind)
    parts = [f"/apis/{group}" if group else "/api/v1", "namespaces", namespace, kind, name, sub]
    return "/".join(part for part in parts if part)


def children(namespace: str = TEAM) -> list[tuple[str, Manifest]]:
    """What the operator makes for `chat`, with the parts that the guards look at."""
    return [(kind, changed(manifest, {"metadata.namespace": namespace})) for kind, manifest in _children()]


def _children() -> list[tuple[str, Manifest]]:
    engine, gateway = labels("engine", "1"), {names.LABEL_COMPONENT: "gateway"}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return [
        ("deployments", workload("chat-1", engine)),
        ("deployments", workload(names.GATEWAY_NAME, gateway)),
        ("services", service("chat", labels("route"), gateway)),
        ("services", service("chat-1", engine, engine)),
        ("configmaps", config(names.GATEWAY_ROUTES, gateway)),
        ("configmaps", config(names.revision_config_name("chat", 1), labels("weights", "1"))),
        ("persistentvolumeclaims", _object("v1", "PersistentVolumeClaim", "holdfast-weights-chat", labels("weights"), claim)),
        (
            "networkpolicies",
            _object("networking.k8s.io/v1", "NetworkPolicy", "holdfast-engine-chat", labels("engine"), {"podSelector": {}}),
        ),
        (
            "poddisruptionbudgets",
            _object("policy/v1", "PodDisruptionBudget", names.GATEWAY_NAME, gateway, {"maxUnavailable": 1}),
        ),
        ("jobs", job("chat-1-weights", labels("weights", "1"))),
        ("secrets", seal()),
    ]


def seal(name: str = names.SEAL_SECRET) -> Manifest:
    metadata = {"name": name, "namespace": TEAM, "labels": {names.LABEL_COMPONENT: "weights"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": {names.SEAL_KEY: "a2V5"}}


def job(name: str, marks: dict[str, str]) -> Manifest:
    pods = workload(name, marks)["spec"]["template"]
    template = {**pods, "spec": {**pods["spec"], "restartPolicy": "OnFailure"}}
    return _object("batch/v1", "Job", name, marks, {"backoffLimit": 2**31 - 1, "template": template})


def _object(version: str, kind: str, name: str, marks: dict[str, str], spec: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": TEAM, "labels": marks}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def make_model(world: World, namespace: str, name: str = "chat") -> None:
    """Propose a model and have the operator make everything for it."""
    root, operator = world.root, world.operator
    model = changed(
        deployment(name, namespace), {"spec.fallback.external": [{"name": "other", "url": "https://api.example.com/v1"}]}
    )
    owner = root.post(path_of(model, collection=True), model).must()["metadata"]["uid"]
    reference = {"apiVersion": API_VERSION, "kind": "ModelDeployment", "name": name, "uid": owner, "controller": True}
    record = revision(namespace=namespace)
    stored = operator.post(path_of(record, collection=True), record).must()
    operator.put(path_of(record, subresource="status"), {**stored, "status": {"decisions": [decision()]}}).must()
    for kind, manifest in children(namespace):
        shared = manifest["metadata"]["name"].startswith((names.GATEWAY_NAME, names.SEAL_SECRET))
        owners = [] if shared else [reference]
        operator.post(at(kind, namespace=namespace), changed(manifest, {"metadata.ownerReferences": owners})).must()


def _model(world: World) -> None:
    root, operator = world.root, world.operator
    make_model(world, TEAM)
    other = deployment("other", TEAM)
    root.post(path_of(other, collection=True), other).must()
    for name, person in (("by-alice", "alice"), ("settled", "alice")):
        manifest = approval(name, by=person, namespace=TEAM)
        stored = world.people[person].post(path_of(manifest, collection=True), manifest).must()
        if name == "settled":
            body = {**stored, "status": {"state": "Accepted"}}
            operator.put(path_of(manifest, subresource="status"), body).must()
    by_bob = approval("by-bob", by="bob", decision="Fallback", namespace=TEAM)
    world.people["bob"].post(path_of(by_bob, collection=True), by_bob).must()
    world.people["dave"].post(at("deployments"), workload("web", {"app": "web"})).must()
    world.people["dave"].post(at("configmaps"), config("web", {})).must()
    engine = eventually(lambda: _pod(root, TEAM, f"{names.LABEL_COMPONENT}=engine"), "a pod of the engine")
    gateway = eventually(lambda: _pod(root, TEAM, f"{names.LABEL_COMPONENT}=gateway"), "a pod of the gateway")
    world.engine_pod, world.gateway_pod = engine["metadata"]["name"], gateway["metadata"]["name"]
    world.replica_set = engine["metadata"]["ownerReferences"][0]["name"]

    def slice_of_the_engine() -> str | None:
        items = root.get(at("endpointslices"), labelSelector="kubernetes.io/service-name=chat-1").must()["items"]
        return str(items[0]["metadata"]["name"]) if items else None

    world.engine_slice = eventually(slice_of_the_engine, "an EndpointSlice of the engine")
