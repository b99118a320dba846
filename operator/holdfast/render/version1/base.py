"""What every pod of a revision has, whatever it does: an unprivileged user, no rights in the cluster, and no way to gain any."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.api import names
from holdfast.api.deployment import CacheType, Serving
from holdfast.render.labels import labels

READ_ONLY_MODE: Final = 0o444
_USER: Final = 65532
_PRODUCT_LABEL: Final = "nvidia.com/gpu.product"


def base_spec(serving: Serving) -> dict[str, Any]:
    """Return the fields of a pod's spec that are the same for an engine and for a Job of the deployment."""
    spec: dict[str, Any] = {
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service named vllm would set VLLM_PORT, which vLLM reads
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",  # a cache of many files is not walked at each start
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if serving.registry_credentials:
        spec["imagePullSecrets"] = [{"name": serving.registry_credentials.name}]
    return spec | _scheduling(serving)


def container_security() -> dict[str, Any]:
    """Return the security context of every container (Pod Security Standard ``restricted``, and a read-only root)."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def environment(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Return variables sorted by name. An empty value is left out, as the API server does; it still sets the variable."""
    return [{"name": name, "value": value} if value else {"name": name} for name, value in sorted(values.items())]


def literal(arguments: Sequence[str]) -> list[str]:
    """Return arguments that the kubelet hands on as they are: it would expand ``$(VARIABLE)``."""
    return [argument.replace("$", "$$") for argument in arguments]


def together(deployment: str, serving: Serving) -> dict[str, Any] | None:
    """Return the affinity that keeps all pods of a deployment on one node, if its claim can be mounted on one only.

    A Job follows the engines: it asks for no accelerator itself, and would take the claim to a node that has none. The first
    engine goes where it fits, because a pod that its own term selects need not wait for another (InterPodAffinity).
    """
    cache = serving.cache
    if cache is None or cache.type is not CacheType.PERSISTENT_VOLUME_CLAIM or cache.access_mode == "ReadWriteMany":
        return None
    term = {"labelSelector": {"matchLabels": labels(names.COMPONENT_ENGINE, deployment)}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def apart(deployment: str, number: int) -> dict[str, Any]:
    """Prefer another node for each pod of a revision, so that losing one node does not lose the model."""
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "labelSelector": {"matchLabels": labels(names.COMPONENT_ENGINE, deployment, number)},
                        "topologyKey": "kubernetes.io/hostname",
                    },
                }
            ]
        }
    }


def _scheduling(serving: Serving) -> dict[str, Any]:
    scheduling = serving.scheduling
    selector = dict(scheduling.node_selector or {}) if scheduling else {}
    tolerations = [toleration.wire() for toleration in scheduling.tolerations or ()] if scheduling else []
    if serving.accelerator:
        if serving.accelerator.product:
            selector[_PRODUCT_LABEL] = serving.accelerator.product
        # Nodes with accelerators are commonly tainted with the resource's name.
        tolerations.append({"key": serving.accelerator.resource, "operator": "Exists", "effect": "NoSchedule"})
    found: dict[str, Any] = {}
    if selector:
        found["nodeSelector"] = selector
    if tolerations:
        found["tolerations"] = tolerations
    if scheduling and scheduling.priority_class_name:
        found["priorityClassName"] = scheduling.priority_class_name
    return found
