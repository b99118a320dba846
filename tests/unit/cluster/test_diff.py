"""The whole object is compared: what somebody added counts as much as what somebody changed."""

import copy
from collections.abc import Callable

import pytest

from holdfast.cluster import kinds
from holdfast.cluster.diff import first_difference, pod_difference, repaired
from holdfast.cluster.kinds import Kind
from unit.controller.objects import Manifest

DEPLOYMENT: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"namespace": "ns", "name": "chat-1", "labels": {"holdfast.dev/component": "engine"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"holdfast.dev/revision": "1"}},
        "template": {
            "metadata": {"labels": {"holdfast.dev/revision": "1"}},
            "spec": {
                "serviceAccountName": "engines",
                "containers": [
                    {
                        "name": "engine",
                        "image": "x@sha256:1",
                        "args": ["--port", "8000"],
                        "ports": [{"name": "http", "containerPort": 8000}],
                        "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}},
                        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
                    }
                ],
                "volumes": [{"name": "revision", "configMap": {"name": "c"}}],
            },
        },
    },
}
SERVICE: Manifest = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"namespace": "ns", "name": "chat-1", "labels": {"holdfast.dev/component": "engine"}},
    "spec": {"selector": {"holdfast.dev/revision": "1"}, "ports": [{"name": "http", "port": 8000}]},
}
CONFIG: Manifest = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"namespace": "ns", "name": "c", "labels": {"holdfast.dev/component": "weights"}},
    "data": {"manifest.json": "[]"},
}


def stored(desired: Manifest) -> Manifest:
    """The object as a server of Kubernetes 1.36 gives it back."""
    live = copy.deepcopy(desired)
    live["metadata"] |= {
        "uid": "1",
        "resourceVersion": "5",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{}],
    }
    live["status"] = {}
    if live["kind"] == "Service":
        live["spec"] |= {
            "clusterIP": "10.0.0.1",
            "clusterIPs": ["10.0.0.1"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "type": "ClusterIP",
        }
        live["spec"]["ports"][0] |= {"protocol": "TCP", "targetPort": 8000}
    if live["kind"] == "Deployment":
        live["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
        live["spec"] |= {
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        }
        live["spec"]["template"]["metadata"]["creationTimestamp"] = None
        pod = live["spec"]["template"]["spec"]
        pod |= {
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccount": "engines",
            "terminationGracePeriodSeconds": 30,
        }
        pod["volumes"][0]["configMap"]["defaultMode"] = 420
        engine = pod["containers"][0]
        engine |= {
            "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
        engine["ports"][0]["protocol"] = "TCP"
        engine["resources"]["limits"]["cpu"] = "500m"
        engine["readinessProbe"] |= {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
        engine["readinessProbe"]["httpGet"]["scheme"] = "HTTP"
    return live


def pod_of(live: Manifest) -> Manifest:
    found: Manifest = live["spec"]["template"]["spec"]
    return found


def engine_of(live: Manifest) -> Manifest:
    found: Manifest = pod_of(live)["containers"][0]
    return found


@pytest.mark.parametrize("desired", [DEPLOYMENT, SERVICE, CONFIG], ids=lambda desired: desired["kind"])
def test_what_the_server_fills_in_is_no_difference(desired: Manifest) -> None:
    assert first_difference(kinds.of(desired), desired, stored(desired)) is None


CHANGES: list[tuple[Manifest, str, Callable[[Manifest], object]]] = [
    (DEPLOYMENT, "spec.replicas: 3 instead of 2", lambda live: live["spec"].update(replicas=3)),
    (
        DEPLOYMENT,
        "spec.template.spec.containers.0.image: 'evil' instead of 'x@sha256:1'",
        lambda live: engine_of(live).update(image="evil"),
    ),
    (
        DEPLOYMENT,
        "spec.template.spec.containers.0.args: 3 items instead of 2",
        lambda live: engine_of(live)["args"].append("--evil"),
    ),
    (
        DEPLOYMENT,
        "spec.template.spec.containers: 2 items instead of 1",
        lambda live: pod_of(live)["containers"].append({"name": "evil"}),
    ),
    (DEPLOYMENT, "spec.template.spec.containers.0.env", lambda live: engine_of(live).update(env=[{"name": "X"}])),
    (DEPLOYMENT, "spec.template.spec.initContainers", lambda live: pod_of(live).update(initContainers=[{"name": "x"}])),
    (DEPLOYMENT, "spec.template.spec.hostNetwork: True", lambda live: pod_of(live).update(hostNetwork=True)),
    (DEPLOYMENT, "spec.template.spec.dnsPolicy: 'Default'", lambda live: pod_of(live).update(dnsPolicy="Default")),
    (DEPLOYMENT, "spec.template.spec.serviceAccount: 'evil'", lambda live: pod_of(live).update(serviceAccount="evil")),
    (
        DEPLOYMENT,
        "spec.template.spec.securityContext: {'runAsUser': 0}",
        lambda live: pod_of(live).update(securityContext={"runAsUser": 0}),
    ),
    (
        DEPLOYMENT,
        "spec.template.spec.terminationGracePeriodSeconds: 0",
        lambda live: pod_of(live).update(terminationGracePeriodSeconds=0),
    ),
    (
        DEPLOYMENT,
        "spec.template.spec.containers.0.resources.limits.cpu: '600m'",
        lambda live: engine_of(live)["resources"]["limits"].update(cpu="600m"),
    ),
    (
        DEPLOYMENT,
        "spec.template.spec.containers.0.readinessProbe.httpGet.path: missing",
        lambda live: engine_of(live)["readinessProbe"]["httpGet"].pop("path"),
    ),
    (
        DEPLOYMENT,
        "spec.template.metadata.annotations: {'sidecar",
        lambda live: live["spec"]["template"]["metadata"].update(annotations={"sidecar.example/inject": "true"}),
    ),
    (SERVICE, "spec.externalIPs: ['192.0.2.1']", lambda live: live["spec"].update(externalIPs=["192.0.2.1"])),
    (SERVICE, "spec.publishNotReadyAddresses: True", lambda live: live["spec"].update(publishNotReadyAddresses=True)),
    (SERVICE, "spec.selector.evil: 'yes'", lambda live: live["spec"]["selector"].update(evil="yes")),
    (SERVICE, "spec.sessionAffinity: 'ClientIP'", lambda live: live["spec"].update(sessionAffinity="ClientIP")),
    (SERVICE, "spec.type: 'LoadBalancer'", lambda live: live["spec"].update(type="LoadBalancer")),
    (SERVICE, "spec.ports.0.targetPort: 22", lambda live: live["spec"]["ports"][0].update(targetPort=22)),
    (SERVICE, "metadata.labels.holdfast.dev/revision", lambda live: live["metadata"]["labels"].update({"holdfast.dev/revision": "2"})),
    (
        SERVICE,
        "metadata.annotations: {'holdfast.dev/config': '1'}",
        lambda live: live["metadata"].update(annotations={"holdfast.dev/config": "1"}),
    ),
    (SERVICE, "metadata.ownerReferences", lambda live: live["metadata"].update(ownerReferences=[{"uid": "evil"}])),
    (CONFIG, "data.evil: 'x', which Holdfast did not set", lambda live: live["data"].update(evil="x")),
    (CONFIG, "binaryData", lambda live: live.update(binaryData={"evil": "eA=="})),
    (CONFIG, "immutable: True", lambda live: live.update(immutable=True)),
]  # fmt: skip


@pytest.mark.parametrize(("desired", "told", "change"), CHANGES, ids=[told for _, told, _ in CHANGES])
def test_every_change_is_a_difference_and_is_named(desired: Manifest, told: str, change: Callable[[Manifest], object]) -> None:
    live = stored(desired)
    change(live)
    found = first_difference(kinds.of(desired), desired, live)
    assert found is not None
    assert found.startswith(told)


@pytest.mark.parametrize(("desired", "told", "change"), CHANGES, ids=[told for _, told, _ in CHANGES])
def test_the_repaired_object_has_no_difference(desired: Manifest, told: str, change: Callable[[Manifest], object]) -> None:
    live = stored(desired)
    change(live)
    assert first_difference(kinds.of(desired), desired, repaired(kinds.of(desired), desired, live)) is None


def test_the_repaired_object_keeps_what_the_server_chose_and_what_others_marked() -> None:
    live = stored(SERVICE)
    live["metadata"]["labels"]["team"] = "a"
    live["metadata"]["finalizers"] = ["example.com/wait"]
    whole = repaired(kinds.SERVICE, SERVICE, live)
    assert whole["spec"]["clusterIP"] == "10.0.0.1"
    assert whole["metadata"]["labels"] == {"holdfast.dev/component": "engine", "team": "a"}
    assert whole["metadata"]["resourceVersion"] == "5"
    assert whole["metadata"]["uid"] == "1"
    assert whole["metadata"]["finalizers"] == ["example.com/wait"]
    assert "status" not in whole


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (kinds.SERVICE, lambda live: live["metadata"]["labels"].update(team="a")),
        (kinds.SERVICE, lambda live: live["metadata"].update(annotations={"argocd.argoproj.io/tracking-id": "x"})),
        (kinds.SERVICE, lambda live: live["metadata"].update(finalizers=["example.com/wait"])),
    ],
)
def test_marks_of_others_are_no_difference(kind: Kind, change: Callable[[Manifest], object]) -> None:
    live = stored(SERVICE)
    change(live)
    assert first_difference(kind, SERVICE, live) is None


def test_a_restart_by_kubectl_is_not_undone() -> None:
    live = stored(DEPLOYMENT)
    live["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    assert first_difference(kinds.DEPLOYMENT, DEPLOYMENT, live) is None


@pytest.mark.parametrize(("want", "have"), [("0.5", "500m"), ("1000m", "1"), ("1024Mi", "1Gi"), ("2", 2)])
def test_quantities_are_compared_by_value(want: str, have: object) -> None:
    desired, live = copy.deepcopy(DEPLOYMENT), stored(DEPLOYMENT)
    engine_of(desired)["resources"]["limits"]["cpu"] = want
    engine_of(live)["resources"]["limits"]["cpu"] = have
    assert first_difference(kinds.DEPLOYMENT, desired, live) is None


@pytest.mark.parametrize("nothing", [None, False, 0, "", [], {}])
def test_what_the_server_leaves_out_need_not_be_there(nothing: object) -> None:
    desired = copy.deepcopy(SERVICE)
    desired["spec"]["publishNotReadyAddresses"] = nothing
    assert first_difference(kinds.SERVICE, desired, stored(SERVICE)) is None


def pod_from(template: Manifest) -> Manifest:
    """A pod as a node runs it."""
    spec = copy.deepcopy(template["spec"])
    spec |= {
        "nodeName": "node-1",
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
    }
    return {"metadata": {"name": "chat-1-x"}, "spec": spec, "status": {"phase": "Running"}}


def test_where_a_pod_runs_and_what_it_may_take_is_no_difference() -> None:
    template = stored(DEPLOYMENT)["spec"]["template"]
    pod = pod_from(template)
    pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": "2Gi"}}
    assert pod_difference(template, pod) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda spec: spec["containers"][0].update(image="y@sha256:2"),
            "spec.containers.0.image: 'y@sha256:2' instead of 'x@sha256:1'",
        ),
        (lambda spec: spec["containers"][0]["args"].append("--evil"), "spec.containers.0.args: 3 items instead of 2"),
        (lambda spec: spec["containers"][0].update(env=[{"name": "EVIL"}]), "spec.containers.0.env"),
        (lambda spec: spec["containers"].append({"name": "other"}), "spec.containers: 2 items instead of 1"),
        (lambda spec: spec.update(ephemeralContainers=[{"name": "debugger"}]), "spec.ephemeralContainers"),
        (lambda spec: spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "spec.volumes: 2 items instead of 1"),
        (lambda spec: spec.update(hostNetwork=True), "spec.hostNetwork: True, which Holdfast did not set"),
        (lambda spec: spec.pop("volumes"), "spec.volumes: missing"),
    ],
)
def test_what_changes_an_answer_is_a_difference_of_a_pod(change: Callable[[Manifest], object], told: str) -> None:
    template = stored(DEPLOYMENT)["spec"]["template"]
    pod = pod_from(template)
    change(pod["spec"])
    assert str(pod_difference(template, pod)).startswith(told)


@pytest.mark.parametrize(
    ("want", "have"),
    [
        ({"persistentVolumeClaim": {"claimName": "weights"}}, {"emptyDir": {}}),
        ({"emptyDir": {}}, {"persistentVolumeClaim": {"claimName": "weights"}}),
    ],
    ids=["a claim instead of an empty folder", "an empty folder instead of a claim"],
)
def test_a_volume_of_another_kind_is_replaced_and_not_added_to(want: Manifest, have: Manifest) -> None:
    def deployment(volume: Manifest) -> Manifest:
        spec = {"volumes": [{"name": "weights", **volume}]}
        return {"metadata": {"name": "chat-1"}, "spec": {"template": {"spec": spec}}}

    live = deployment(have)
    assert first_difference(kinds.DEPLOYMENT, deployment(want), live)
    assert first_difference(kinds.DEPLOYMENT, deployment(want), deployment({**have, **want}))
    found = repaired(kinds.DEPLOYMENT, deployment(want), live)
    assert found["spec"]["template"]["spec"]["volumes"] == [{"name": "weights", **want}]
