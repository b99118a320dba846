"""What all revisions of a ModelDeployment share: its address, the wall around its engines, and its cache of weights."""

from typing import Any, Final

from holdfast.api import names
from holdfast.api.deployment import CacheType, Retention, Serving, Unused
from holdfast.domain.retention import NAMED_KEY, Named, named_bytes
from holdfast.domain.snapshot import DeploymentView
from holdfast.render.labels import labels, metadata
from holdfast.render.quantity import canonical

_NAMED_MAX_BYTES: Final = 1000 * 1000  # a ConfigMap holds 1 MiB (Kubernetes API)


def shared_objects(deployment: DeploymentView, named: Named | None = None) -> list[dict[str, Any]]:
    """Return the Service that clients use, the NetworkPolicy of the engines and, if asked for, the claim of the cache.

    Args:
        deployment: whose they are.
        named: what must stay in the claim; with None nothing may be deleted there.

    Raises:
        ValueError: the deployment has no readable spec, or a cache without a size (which the CRD refuses).
    """
    if deployment.spec is None:
        raise ValueError(f"{deployment.meta.key}: its spec is not readable")
    serving = deployment.spec.serving or Serving()
    objects = [_route_service(deployment), _network_policy(deployment)]
    if serving.cache and serving.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM:
        objects.append(_claim(deployment, serving))
        if serving.cache.unused is Unused.DELETE:
            objects.append(_named(deployment, named))
    return objects


def _route_service(deployment: DeploymentView) -> dict[str, Any]:
    """The address of the model: every gateway pod of the namespace answers for it, by the name in the request's host."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployment, deployment.meta.key.name, names.COMPONENT_ROUTE),
        "spec": {
            "type": "ClusterIP",
            "selector": {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": names.GATEWAY_HTTP_PORT}],
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
        },
    }


def _network_policy(deployment: DeploymentView) -> dict[str, Any]:
    """Only the gateway reaches an engine, and an engine reaches nothing.

    Several engines have routes that replace the model and ask for no password. Pods that fetch for themselves have a policy of
    their revision beside this one; policies add up.
    """
    name = deployment.meta.key.name
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(deployment, names.engine_network_policy_name(name), names.COMPONENT_ENGINE),
        "spec": {
            "podSelector": {"matchLabels": labels(names.COMPONENT_ENGINE, name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY}}}],
                    "ports": [{"port": names.ENGINE_PORT, "protocol": "TCP"}],
                }
            ],
        },
    }


def _claim(deployment: DeploymentView, serving: Serving) -> dict[str, Any]:
    cache = serving.cache
    if cache is None or cache.size is None:
        raise ValueError(f"{deployment.meta.key}: spec.serving.cache.size is required for {CacheType.PERSISTENT_VOLUME_CLAIM}")
    storage_class = {"storageClassName": cache.storage_class_name} if cache.storage_class_name else {}
    marks = metadata(deployment, names.weights_claim_name(deployment.meta.key.name), names.COMPONENT_WEIGHTS)
    if serving.retention is not Retention.DELETE:
        del marks["ownerReferences"]  # the garbage collector deletes what its owner leaves behind
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": marks,
        "spec": {
            "accessModes": [cache.access_mode or "ReadWriteOnce"],
            "resources": {"requests": {"storage": canonical(cache.size)}},
            "volumeMode": "Filesystem",
            **storage_class,
        },
    }


def _named(deployment: DeploymentView, named: Named | None) -> dict[str, Any]:
    """What must stay, for the Jobs. Without data they delete nothing, as when it would be too large for a ConfigMap."""
    text = named_bytes(named).decode() if named is not None else ""
    data = {"data": {NAMED_KEY: text}} if 0 < len(text) <= _NAMED_MAX_BYTES else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(deployment, names.weights_named_name(deployment.meta.key.name), names.COMPONENT_WEIGHTS),
        **data,
    }
