"""What traffic depends on, the way into pods, and the operator's own identity."""

from apiserver.guard_cases import (
    Case,
    Where,
    allowed,
    apply,
    connect,
    create,
    delete,
    delete_all,
    denied,
    edit,
    merge,
    remove,
    set_,
)
from apiserver.guard_cases_children import NOTE, OUR_NOTE, bare_pod
from apiserver.guard_cases_decisions import STRAY_OWNER
from apiserver.manifests import changed
from apiserver.world import HOME, TEAM, Manifest, at, children, config, labels, service, workload
from holdfast.api import names

TRAFFIC, ENDPOINTS, CONNECT = "holdfast-traffic", "holdfast-endpoints", "holdfast-connect"
IDENTITY, DEFINITIONS = "holdfast-identity", "holdfast-definitions"

OPERATORS = "what traffic of a model depends on is written by the operator only"
GONE = "what traffic of a model depends on is deleted by the operator only"
ENDPOINT = "the endpoints of a model's Services are written by the control plane only"
PAST = "goes past the guards of"
KUBELETS = "tokens of the operator are requested by kubelets only"
LONG_LIVED = "the operator has no long-lived token"
ITS_PODS = "pods that run as the operator come from its Deployment only"
INSIDE = "whoever is inside the operator's pod is the operator"
UNCHANGED = "a pod that runs as the operator does not change"
INSTALLER = "a workload that runs as the operator is written by whoever installs Holdfast"
DEFINITION = "deleting a definition of holdfast.dev deletes every model and its history"

ROUTES = at("configmaps", names.GATEWAY_ROUTES)
CHAT = at("services", "chat")
SEIZE = merge(ROUTES, {"data": {"rds.yaml": "arm-evil: 10000"}})
CLAIM = at("persistentvolumeclaims", "holdfast-weights-chat")
SEAL = at("secrets", names.SEAL_SECRET)
CLIENTS_ONLY = {"app": "web"}


def endpoint_slice(of: str) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "sneaky", "namespace": TEAM, "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.9.9.9"]}],
        "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
    }


def engine(sub: str, *, prefix: str = "", suffix: str = "") -> Where:
    return lambda world: at("pods", f"{prefix}{world.engine_pod}{suffix}", sub=sub)


def as_operator(name: str) -> Manifest:
    return changed(workload(name, CLIENTS_ONLY, HOME), {"spec.template.spec.serviceAccountName": "holdfast-operator"})


CASES: tuple[Case, ...] = (
    # configuration and Services
    *(denied("seizes the routes", who, SEIZE, TRAFFIC, OPERATORS) for who in ("dave", "root", "argocd", "erin", "unbound operator")),
    allowed("publishes a route", "operator", SEIZE),
    denied("deletes the routes", "dave", delete(ROUTES), TRAFFIC, GONE),
    denied("deletes all configuration", "frank", delete_all(at("configmaps")), TRAFFIC, GONE),
    allowed("deletes the routes under break-glass", "erin", delete(ROUTES)),
    denied("takes the labels off the routes", "dave", edit(ROUTES, remove("/metadata/labels")), TRAFFIC, OPERATORS),
    denied("becomes co-owner of the routes", "dave", apply(ROUTES, children()[4][1], force=False), TRAFFIC, OPERATORS),
    denied("adds an annotation of ours", "dave", merge(ROUTES, OUR_NOTE), TRAFFIC, OPERATORS),
    allowed("adds an annotation of their own", "dave", merge(ROUTES, NOTE)),
    denied("takes a name of ours", "dave", create(at("configmaps"), config("holdfast-revision-chat-2", {})), TRAFFIC, OPERATORS),
    allowed("creates configuration of their own", "dave", create(at("configmaps"), config("holdfasts", {}))),
    allowed("changes configuration of their own", "dave", merge(at("configmaps", "web"), {"data": {"a": "b"}})),
    allowed("takes a name of ours beside the operator", "root", create(
        at("configmaps", namespace=HOME), config("holdfast-notes", {}, HOME)
    )),
    denied("points the Service elsewhere", "dave", edit(CHAT, set_("/spec/selector", CLIENTS_ONLY)), TRAFFIC, OPERATORS),
    denied("adds an outside address to the Service", "dave", merge(CHAT, {"spec": {"externalIPs": ["192.0.2.1"]}}), TRAFFIC, OPERATORS),
    denied("deletes the Service", "dave", delete(CHAT), TRAFFIC, GONE),
    denied("deletes the Service of a revision", "argocd", delete(at("services", "chat-1")), TRAFFIC, GONE),
    denied("makes a side door to the engine", "dave", create(
        at("services"), service("side-door", {}, labels("engine", "1"))
    ), TRAFFIC, OPERATORS),
    allowed("creates a Service of their own", "dave", create(at("services"), service("web", {}, CLIENTS_ONLY))),
    denied("opens the engine's network", "dave", merge(
        at("networkpolicies", "holdfast-engine-chat"), {"spec": {"ingress": [{}]}}
    ), TRAFFIC, OPERATORS),
    denied("deletes the engine's NetworkPolicy", "dave", delete(at("networkpolicies", "holdfast-engine-chat")), TRAFFIC, GONE),
    denied("deletes the gateway's disruption budget", "dave", delete(at("poddisruptionbudgets", names.GATEWAY_NAME)), TRAFFIC, GONE),
    denied("deletes the weights", "dave", delete(CLAIM), TRAFFIC, GONE),
    denied("has the weights deleted", "dave", merge(CLAIM, {"metadata": {"ownerReferences": STRAY_OWNER}}), TRAFFIC, OPERATORS),
    denied("squats the weights of another model", "dave", create(at("persistentvolumeclaims"), changed(
        children()[6][1], {"metadata.name": "holdfast-weights-other", "metadata.labels": {}}
    )), TRAFFIC, OPERATORS),
    allowed("selects a node for the claim", "dave", merge(
        CLAIM, {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}
    )),
    # the key of seals
    denied("replaces the key of seals", "dave", merge(SEAL, {"data": {names.SEAL_KEY: "b3RoZXI="}}), TRAFFIC, OPERATORS),
    denied("deletes the key of seals", "dave", delete(SEAL), TRAFFIC, GONE),
    denied("deletes all Secrets", "frank", delete_all(at("secrets")), TRAFFIC, GONE),
    denied("brings a key of seals", "argocd", create(at("secrets"), {
        "metadata": {"name": names.SEAL_SECRET}, "data": {names.SEAL_KEY: "b3RoZXI="}
    }), TRAFFIC, OPERATORS),
    allowed("makes a Secret of their own", "dave", create(at("secrets"), {"metadata": {"name": "holdfast-hub-token"}})),
    # endpoints
    *(denied(f"forges the endpoints of {name}", who, create(at("endpointslices"), endpoint_slice(name)), ENDPOINTS, ENDPOINT)
      for who, name in (("frank", "chat"), ("frank", "chat-1"), ("root", "chat-12"), ("argocd", "holdfast-gateway"))),
    denied("forges the endpoints of the old kind", "frank", create(
        at("endpoints"), {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "chat", "namespace": TEAM}}
    ), ENDPOINTS, ENDPOINT),
    denied("changes the endpoints of the engine", "frank", merge(
        lambda world: at("endpointslices", world.engine_slice), {"endpoints": [{"addresses": ["10.9.9.9"]}]}
    ), f"{TRAFFIC}|{ENDPOINTS}", ""),
    denied("deletes the endpoints of the engine", "frank", delete(
        lambda world: at("endpointslices", world.engine_slice)
    ), TRAFFIC, GONE),
    *(allowed(f"writes the endpoints of {name}", "frank", create(at("endpointslices"), endpoint_slice(name)))
      for name in ("web", "chat-web", "chat-1-web")),
    # into pods
    *(denied(f"{sub}s", who, connect(engine(sub), command="id"), CONNECT, PAST)
      for who, sub in (("dave", "exec"), ("dave", "attach"), ("dave", "portforward"), ("argocd", "exec"))),
    denied("opens a web socket to exec", "dave", connect(engine("exec"), "GET", command="id"), CONNECT, PAST),
    denied("gets through the proxy", "dave", connect(engine("proxy"), "GET"), CONNECT, PAST),
    denied("posts through the proxy", "dave", connect(engine("proxy", prefix="http:", suffix=":8000")), CONNECT, PAST),
    denied("execs into the gateway", "dave", connect(lambda world: at("pods", world.gateway_pod, sub="exec"), command="id"), CONNECT, PAST),
    denied("execs into what fetches", "dave", connect(at("pods", "chat-1-weights-x2x4z", sub="exec"), command="id"), CONNECT, PAST),
    denied("gets to a revision past the gateway", "dave", connect(at("services", "chat-1:http", sub="proxy")), CONNECT, PAST),
    allowed("gets to the model through the gateway", "dave", connect(at("services", "chat:http", sub="proxy"), "GET")),
    allowed("execs under break-glass", "erin", connect(engine("exec"), command="id")),
    allowed("execs as cluster administrator", "root", connect(engine("exec"), command="id")),
    *(allowed(f"execs into {name} of their own", "dave", connect(at("pods", name, sub="exec"), command="id"))
      for name in ("web-5d4f8c9b7-x2x4z", "chat-web-5d4f8c9b7-x2x4z", "db-0", "web-1-5d4f8c9b7-x2x4z")),
    # who is the operator
    denied("mints a token of the operator", "root", create(
        at("serviceaccounts", "holdfast-operator", namespace=HOME, sub="token"), {"spec": {}}
    ), IDENTITY, KUBELETS),
    allowed("mints a token of another account there", "ned", create(
        at("serviceaccounts", "default", namespace=HOME, sub="token"), {"spec": {}}
    )),
    denied("makes a long-lived token of the operator", "ned", create(at("secrets", namespace=HOME), {
        "metadata": {"name": "mine", "annotations": {"kubernetes.io/service-account.name": "holdfast-operator"}},
        "type": "kubernetes.io/service-account-token",
    }), IDENTITY, LONG_LIVED),
    allowed("makes a Secret there", "ned", create(at("secrets", namespace=HOME), {"metadata": {"name": "mine"}})),
    denied("runs a pod as the operator", "root", create(at("pods", namespace=HOME), changed(
        bare_pod(CLIENTS_ONLY), {"metadata.namespace": HOME, "spec.serviceAccountName": "holdfast-operator"}
    )), IDENTITY, ITS_PODS),
    denied("execs into the operator", "ned", connect(lambda world: at(
        "pods", world.operator_pod, namespace=HOME, sub="exec"), command="id"
    ), IDENTITY, INSIDE),
    denied("execs into the operator", "argocd", connect(lambda world: at(
        "pods", world.operator_pod, namespace=HOME, sub="exec"), "GET", command="id"
    ), IDENTITY, INSIDE),
    allowed("execs into the operator", "root", connect(lambda world: at(
        "pods", world.operator_pod, namespace=HOME, sub="exec"), command="id"
    )),
    denied("gives the operator's pod another image", "ned", edit(
        lambda world: at("pods", world.operator_pod, namespace=HOME), set_("/spec/containers/0/image", "evil")
    ), IDENTITY, UNCHANGED),
    denied("adds a container to the operator's pod", "argocd", edit(
        lambda world: at("pods", world.operator_pod, namespace=HOME, sub="ephemeralcontainers"),
        set_("/spec/ephemeralContainers", [{"name": "debug", "image": "evil"}]),
    ), IDENTITY, UNCHANGED),
    allowed("restarts the operator", "ned", delete(lambda world: at("pods", world.operator_pod, namespace=HOME))),
    denied("runs a Deployment as the operator", "ned", create(
        at("deployments", namespace=HOME), as_operator("mine")
    ), IDENTITY, INSTALLER),
    denied("changes the operator's image", "ned", edit(
        at("deployments", "holdfast-operator", namespace=HOME), set_("/spec/template/spec/containers/0/image", "evil")
    ), IDENTITY, INSTALLER),
    allowed("upgrades the operator", "root", edit(
        at("deployments", "holdfast-operator", namespace=HOME), set_("/spec/template/spec/containers/0/image", "newer")
    )),
    allowed("runs a Deployment as somebody else", "ned", create(
        at("deployments", namespace=HOME), workload("mine", CLIENTS_ONLY, HOME)
    )),
    denied("deletes a definition", "argocd", delete(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modelrevisions.holdfast.dev"
    ), DEFINITIONS, DEFINITION),
    allowed("deletes a definition", "root", delete(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modelrevisions.holdfast.dev"
    )),
)  # fmt: skip
