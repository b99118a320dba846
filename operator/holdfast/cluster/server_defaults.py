"""Which fields the API server fills in by itself, and with what.

From the defaulting functions of Kubernetes 1.36: pkg/apis/{apps,batch,core,networking}/v1/defaults.go, and for Services the IP
allocation of pkg/registry/core/service/storage/alloc.go. A field that is not here is not a default, so it is a difference.
"""

from typing import Final

from holdfast.cluster import kinds
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Manifest

ANY: Final = object()
"""The API server or a controller chooses the value."""

_POD: Final[dict[str, object]] = {
    "dnsPolicy": "ClusterFirst",
    "enableServiceLinks": True,
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
_CONTAINER: Final[dict[str, object]] = {
    "imagePullPolicy": "IfNotPresent",  # for an image by digest
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE: Final[dict[str, object]] = {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
_JOB: Final[dict[str, object]] = {
    "backoffLimit": 6,
    "completionMode": "NonIndexed",
    "completions": 1,
    "manualSelector": False,
    "parallelism": 1,
    "podReplacementPolicy": "TerminatingOrFailed",
    "selector": ANY,  # by the Job's uid
    "suspend": False,
}
_JOB_LABELS: Final = ("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name")
_ROLLING: Final[dict[str, object]] = {"maxSurge": "25%", "maxUnavailable": "25%"}
_VOLUMES: Final = frozenset({"configMap", "secret", "projected", "downwardAPI"})
_PROBES: Final = frozenset({"livenessProbe", "readinessProbe", "startupProbe"})
_TEMPLATE: Final = ("spec", "template", "spec")

_BY_PATH: Final[dict[Kind, dict[tuple[str, ...], dict[str, object]]]] = {
    kinds.DEPLOYMENT: {
        ("spec",): {
            "progressDeadlineSeconds": 600,
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _ROLLING},
        },
        ("spec", "strategy"): {"type": "RollingUpdate", "rollingUpdate": _ROLLING},
        ("spec", "strategy", "rollingUpdate"): _ROLLING,
        ("spec", "template", "metadata", "annotations"): {
            "kubectl.kubernetes.io/restartedAt": ANY,  # undoing `kubectl rollout restart` would replace all pods once more
        },
        _TEMPLATE: _POD,
    },
    kinds.JOB: {
        ("spec",): _JOB,
        ("spec", "template", "metadata", "labels"): dict.fromkeys(_JOB_LABELS, ANY),
        _TEMPLATE: _POD,
    },
    kinds.SERVICE: {
        ("spec",): {
            "clusterIP": ANY,
            "clusterIPs": ANY,
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ANY,
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    },
    kinds.PERSISTENT_VOLUME_CLAIM: {
        ("spec",): {
            "storageClassName": ANY,  # the default class of the cluster, by admission
            "volumeMode": "Filesystem",
            "volumeName": ANY,  # the binding
        },
    },
    kinds.NETWORK_POLICY: {("spec",): {"policyTypes": ["Ingress"]}},
}


def tolerated(kind: Kind, path: tuple[str, ...], name: str, desired: Manifest) -> object | None:
    """Return the default of a field that is not desired, `ANY` if every value is fine, None if the field has no default.

    Args:
        kind: the kind of the object.
        path: where the field stands; items of a list by their index.
        name: the field.
        desired: the mapping that lacks the field.
    """
    fixed = _BY_PATH.get(kind, {}).get(path, {})
    if name in fixed:
        return fixed[name]
    if path and name == "protocol" and len(path) > 1 and path[-2] == "ports":
        return "TCP"
    if kind is kinds.SERVICE and len(path) > 1 and path[-2] == "ports" and name == "targetPort":
        return desired.get("port")
    if kind in kinds.WORKLOADS and path[:3] == _TEMPLATE:
        return _in_pod(path[3:], name, desired)
    return None


def _in_pod(path: tuple[str, ...], name: str, desired: Manifest) -> object | None:
    if path == ():
        return desired.get("serviceAccountName") if name == "serviceAccount" else None
    match path:
        case ("containers" | "initContainers", _):
            return _CONTAINER.get(name)
        case ("containers" | "initContainers", _, probe) if probe in _PROBES:
            return _PROBE.get(name)
        case ("containers" | "initContainers", _, _, "httpGet") | ("containers" | "initContainers", _, _, _, "httpGet"):
            return {"scheme": "HTTP", "path": "/"}.get(name)
        case ("containers" | "initContainers", _, "env", _, "valueFrom", "fieldRef"):
            return "v1" if name == "apiVersion" else None
        case ("volumes", _, source) if source in _VOLUMES:
            return 420 if name == "defaultMode" else None  # 0644
        case ("volumes", _, "downwardAPI", "items", _, "fieldRef"):
            return "v1" if name == "apiVersion" else None
        case _:
            return None
