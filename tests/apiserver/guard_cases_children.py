"""Workloads, their scale, their pods, and verified weights."""

from apiserver.guard_cases import Case, Where, allowed, apply, create, delete, delete_all, denied, edit, merge, remove, set_
from apiserver.guard_cases_decisions import STRAY_OWNER
from apiserver.manifests import changed
from apiserver.world import TEAM, Manifest, at, children, labels, workload
from holdfast.api import names

WORKLOADS, SCALE, PODS, WEIGHTS = "holdfast-workloads", "holdfast-scale", "holdfast-pods", "holdfast-weights"

RESERVED = "only the operator creates such workloads"
PINNED = "a pinned workload changes only through its ModelDeployment and a decision"
GONE = "a pinned workload is deleted by the operator only; to restart it delete its pods"
REPORTED = "the status of a pinned workload is reported by its controller only"
SCALED = "kubectl scale modeldeployments.holdfast.dev/NAME"
POD_RESERVED = "such pods come from the workloads of a ModelDeployment only"
POD_PINNED = "a pinned pod does not change in place"
POD_GROWS = "takes no further containers and no other size"
POD_REPORTED = "is reported by kubelets and the control plane only"
READ_ONLY = "verified weights are mounted read-only"

ENGINE = at("deployments", "chat-1")
IMAGE = "/spec/template/spec/containers/0/image"
OTHER_IMAGE = "registry.example/other@sha256:" + "d" * 64
SET_IMAGE = edit(ENGINE, set_(IMAGE, OTHER_IMAGE))
RESTART = merge(ENGINE, {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}})
NOTE = {"metadata": {"annotations": {"example.com/note": "read"}}}
OUR_NOTE = {"metadata": {"annotations": {"holdfast.dev/config": "7"}}}
LET_OUT = {"metadata": {"labels": {names.LABEL_FETCHING: names.FETCHING}}}
ENGINE_MANIFEST = children()[0][1]
REPLICAS = {"spec": {"replicas": 5}}


def engine_pod(sub: str = "") -> Where:
    return lambda world: at("pods", world.engine_pod, sub=sub)


def batch(kind: str, template: Manifest) -> Manifest:
    job = {"template": {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}}
    spec = {"schedule": "0 0 * * *", "jobTemplate": {"spec": job}} if kind == "CronJob" else job
    return {"apiVersion": "batch/v1", "kind": kind, "metadata": {"name": "sneaky", "namespace": TEAM}, "spec": spec}


def bare_pod(marks: dict[str, str], *, claim: Manifest | None = None) -> Manifest:
    spec: Manifest = {"containers": [{"name": "main", "image": OTHER_IMAGE}]}
    if claim:
        spec["volumes"] = [{"name": "weights", "persistentVolumeClaim": claim}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sneaky", "namespace": TEAM, "labels": marks}, "spec": spec}


LABELLED = workload("sneaky", labels("engine", "1"))
HIDDEN = changed(LABELLED, {"metadata.labels": {"app": "web"}})
WEB = workload("web-2", {"app": "web"})

CASES: tuple[Case, ...] = (
    # workloads
    *(denied("sets another image", who, SET_IMAGE, WORKLOADS, PINNED) for who in ("dave", "root", "argocd", "erin", "unbound operator")),
    allowed("sets another image", "operator", SET_IMAGE),
    denied("restarts the engine", "dave", RESTART, WORKLOADS, PINNED),
    denied("sets replicas", "dave", merge(ENGINE, REPLICAS), WORKLOADS, PINNED),
    denied("pauses the engine", "dave", merge(ENGINE, {"spec": {"paused": True}}), WORKLOADS, PINNED),
    denied("takes the labels off", "dave", edit(ENGINE, remove("/metadata/labels")), WORKLOADS, PINNED),
    denied("sets an owner that is gone", "dave", merge(ENGINE, {"metadata": {"ownerReferences": STRAY_OWNER}}), WORKLOADS, PINNED),
    denied("takes the owner off", "dave", edit(ENGINE, remove("/metadata/ownerReferences")), WORKLOADS, PINNED),
    denied("adds a finalizer", "dave", merge(ENGINE, {"metadata": {"finalizers": ["example.com/hold"]}}), WORKLOADS, PINNED),
    denied("becomes co-owner of what is there", "dave", apply(ENGINE, ENGINE_MANIFEST, force=False), WORKLOADS, PINNED),
    denied(
        "applies another image by force",
        "argocd",
        apply(ENGINE, {**LABELLED, "metadata": ENGINE_MANIFEST["metadata"], "spec": {"replicas": 9}}, force=True),
        WORKLOADS,
        PINNED,
    ),
    denied("adds an annotation of ours", "dave", merge(ENGINE, OUR_NOTE), WORKLOADS, PINNED),
    allowed("adds an annotation of their own", "dave", merge(ENGINE, NOTE)),
    denied("deletes the engine", "dave", delete(ENGINE), WORKLOADS, GONE),
    denied("deletes the gateway", "argocd", delete(at("deployments", names.GATEWAY_NAME)), WORKLOADS, GONE),
    denied("deletes all workloads", "frank", delete_all(at("deployments")), WORKLOADS, GONE),
    denied("deletes the ReplicaSet", "dave", delete(lambda world: at("replicasets", world.replica_set)), WORKLOADS, GONE),
    denied(
        "sets another image in the ReplicaSet",
        "dave",
        edit(lambda world: at("replicasets", world.replica_set), set_(IMAGE, OTHER_IMAGE)),
        WORKLOADS,
        PINNED,
    ),
    allowed("deletes the engine under break-glass", "erin", delete(ENGINE)),
    allowed("deletes the engine", "operator", delete(ENGINE)),
    denied("creates a workload with our labels", "dave", create(at("deployments"), LABELLED), WORKLOADS, RESERVED),
    denied("creates a workload whose pods have our labels", "root", create(at("deployments"), changed(
        LABELLED, {"metadata.labels": {"app": "web"}, "spec.template.metadata.labels": labels("engine", "1")}
    )), WORKLOADS, RESERVED),
    denied("creates a Job whose pods have our labels", "dave", create(
        at("jobs"), batch("Job", LABELLED["spec"]["template"])
    ), WORKLOADS, RESERVED),
    denied("creates a CronJob whose pods have our labels", "dave", create(
        at("cronjobs"), batch("CronJob", LABELLED["spec"]["template"])
    ), WORKLOADS, RESERVED),
    denied(
        "takes the name of the gateway",
        "dave",
        create(at("deployments"), workload("holdfast-gateway-2", {"app": "web"})),
        WORKLOADS,
        RESERVED,
    ),
    denied("puts our labels on a workload of their own", "dave", merge(
        at("deployments", "web"), {"metadata": {"labels": labels("engine", "1")}}
    ), WORKLOADS, PINNED),
    allowed("creates a workload of their own", "dave", create(at("deployments"), WEB)),
    allowed("changes a workload of their own", "dave", edit(at("deployments", "web"), set_(IMAGE, OTHER_IMAGE))),
    allowed("deletes a workload of their own", "dave", delete(at("deployments", "web"))),
    denied(
        "says that the engine is ready",
        "frank",
        merge(at("deployments", "chat-1", sub="status"), {"status": {"readyReplicas": 1}}),
        WORKLOADS,
        REPORTED,
    ),
    denied(
        "says that the engine is ready",
        "argocd",
        merge(at("deployments", "chat-1", sub="status"), {"status": {"readyReplicas": 1}}),
        WORKLOADS,
        REPORTED,
    ),
    denied("deletes the Job that fetches", "dave", delete(at("jobs", "chat-1-weights")), WORKLOADS, GONE),
    denied("suspends the Job that fetches", "dave", merge(at("jobs", "chat-1-weights"), {"spec": {"suspend": True}}), WORKLOADS, PINNED),
    allowed("replaces the Job that fetches", "operator", delete(at("jobs", "chat-1-weights"))),
    denied(
        "says that all is fetched",
        "frank",
        merge(at("jobs", "chat-1-weights", sub="status"), {"status": {"active": 0}}),
        WORKLOADS,
        REPORTED,
    ),
    # scale
    *(denied("scales the engine", who, merge(at("deployments", "chat-1", sub="scale"), REPLICAS), SCALE, SCALED)
      for who in ("dave", "argocd")),
    allowed("scales the engine under break-glass", "erin", merge(at("deployments", "chat-1", sub="scale"), REPLICAS)),
    allowed("scales a workload of their own", "dave", merge(at("deployments", "web", sub="scale"), REPLICAS)),
    # pods
    denied("creates a pod with our labels", "dave", create(at("pods"), bare_pod(labels("engine", "1"))), PODS, POD_RESERVED),
    denied("creates a pod with our labels", "root", create(at("pods"), bare_pod({"holdfast.dev/x": "y"})), PODS, POD_RESERVED),
    denied("takes the labels off", "dave", edit(engine_pod(), remove("/metadata/labels")), PODS, POD_PINNED),
    denied("relabels a pod", "operator", merge(engine_pod(), {"metadata": {"labels": {names.LABEL_REVISION: "2"}}}), PODS, POD_PINNED),
    *(denied("lets a pod out", who, merge(engine_pod(), LET_OUT), PODS, POD_PINNED) for who in ("dave", "root", "argocd", "frank", "the pods' maker")),
    allowed("lets a pod out", "operator", merge(engine_pod(), LET_OUT)),
    denied("lets a pod out in a word of its own", "operator", merge(
        engine_pod(), {"metadata": {"labels": {names.LABEL_FETCHING: "yes"}}}
    ), PODS, POD_PINNED),
    denied("lets a pod out and moves it to another revision", "operator", merge(
        engine_pod(), {"metadata": {"labels": {names.LABEL_FETCHING: "true", names.LABEL_REVISION: "2"}}}
    ), PODS, POD_PINNED),
    denied("lets a pod of the gateway out", "operator", merge(
        lambda world: at("pods", world.gateway_pod), LET_OUT
    ), PODS, POD_PINNED),
    denied("sets another image in a pod", "dave", edit(engine_pod(), set_("/spec/containers/0/image", OTHER_IMAGE)), PODS, POD_PINNED),
    denied("ends a pod by a deadline", "dave", merge(engine_pod(), {"spec": {"activeDeadlineSeconds": 1}}), PODS, POD_PINNED),
    denied("sets an owner that is gone", "dave", merge(engine_pod(), {"metadata": {"ownerReferences": STRAY_OWNER}}), PODS, POD_PINNED),
    denied("adds an annotation of ours", "dave", merge(engine_pod(), OUR_NOTE), PODS, POD_PINNED),
    allowed("adds an annotation of ours", "operator", merge(engine_pod(), OUR_NOTE)),
    allowed("adds an annotation of their own", "dave", merge(engine_pod(), NOTE)),
    denied("adds a container to debug", "frank", edit(
        engine_pod("ephemeralcontainers"), set_("/spec/ephemeralContainers", [{"name": "debug", "image": OTHER_IMAGE}])
    ), PODS, POD_GROWS),
    denied("gives a pod another size", "frank", edit(
        engine_pod("resize"), set_("/spec/containers/0/resources", {"requests": {"cpu": "20m"}})
    ), PODS, POD_GROWS),
    denied("gives a pod another address", "frank", merge(
        engine_pod("status"), {"status": {"podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}]}}
    ), PODS, POD_REPORTED),
    denied("says that a pod is ready", "argocd", merge(engine_pod("status"), {"status": {"phase": "Running"}}), PODS, POD_REPORTED),
    allowed("says that a pod runs", "kubelet", merge(engine_pod("status"), {"status": {"phase": "Running"}})),
    allowed("deletes a pod", "dave", delete(engine_pod())),
    allowed("evicts a pod", "dave", lambda person, world: person.post(
        at("pods", world.engine_pod, sub="eviction"),
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": world.engine_pod, "namespace": TEAM}},
        dryRun="All",
    )),
    # weights
    denied("mounts verified weights to write", "dave", create(
        at("pods"), bare_pod({"app": "web"}, claim={"claimName": "holdfast-weights-chat"})
    ), WEIGHTS, READ_ONLY),
    allowed("mounts verified weights to read", "dave", create(
        at("pods"), bare_pod({"app": "web"}, claim={"claimName": "holdfast-weights-chat", "readOnly": True})
    )),
    allowed("mounts a claim of their own", "dave", create(at("pods"), bare_pod({"app": "web"}, claim={"claimName": "web"}))),
)  # fmt: skip
