"""The objects that run a namespace's gateway. Two Envoys, which need nothing of the operator once they run."""

import hashlib
from collections.abc import Mapping
from typing import Final

from holdfast.api import names
from holdfast.render.gateway.bootstrap import HEAP_BYTES, bootstrap
from holdfast.render.gateway.layout import BOOTSTRAP_FILE, DRAIN_SECONDS, Json, Layout
from holdfast.render.gateway.publication import Data, compact

REPLICAS: Final = 2
ANNOTATION_BOOTSTRAP: Final = "holdfast.dev/bootstrap"
"""On the pod template: the digest of the bootstrap, so that another one rolls the pods. Nothing else does but the image."""
_DRAIN: Final = ("--drain-strategy", "immediate", "--drain-time-s", "86400")
"""From the preStop hook on, every answer closes its connection; the listeners themselves stay until the end."""
_USER: Final = 65532
_LABELS: Final = {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY}


def workload(layout: Layout, image: str) -> list[Json]:
    """Return everything of the gateway that does not change with routes: bootstrap, pods, and what protects them.

    Args:
        layout: where things are.
        image: Envoy, with its program ``envoy`` on the PATH and CA certificates.
    """
    text = compact(bootstrap(layout))
    return [
        config_map(layout, names.GATEWAY_BOOTSTRAP, {BOOTSTRAP_FILE: text}),
        _service(layout),
        _network_policy(layout),
        _disruption_budget(layout),
        _deployment(layout, image, hashlib.sha256(text.encode()).hexdigest()),
    ]


def config_map(layout: Layout, name: str, data: Data) -> Json:
    """Return a ConfigMap of the gateway."""
    return {**_head(layout, "v1", "ConfigMap", name), "data": dict(data)}


def _head(layout: Layout, api_version: str, kind: str, name: str) -> Json:
    metadata = {"namespace": layout.namespace, "name": name, "labels": dict(_LABELS)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _service(layout: Layout) -> Json:
    """Return the Service of the gateway itself, for scrapes; clients use the Service of their ModelDeployment."""
    return {
        **_head(layout, "v1", "Service", names.GATEWAY_NAME),
        "spec": {
            "type": "ClusterIP",
            "selector": dict(_LABELS),
            "ports": [
                _port("http", 80, names.GATEWAY_HTTP_PORT),
                _port("metrics", names.GATEWAY_METRICS_PORT, names.GATEWAY_METRICS_PORT),
            ],
        },
    }


def _port(name: str, port: int, target: int) -> Json:
    return {"name": name, "protocol": "TCP", "port": port, "targetPort": target}


def _network_policy(layout: Layout) -> Json:
    ports = [{"protocol": "TCP", "port": port} for port in (names.GATEWAY_HTTP_PORT, names.GATEWAY_METRICS_PORT)]
    return {
        **_head(layout, "networking.k8s.io/v1", "NetworkPolicy", names.GATEWAY_NAME),
        "spec": {"podSelector": {"matchLabels": dict(_LABELS)}, "policyTypes": ["Ingress"], "ingress": [{"ports": ports}]},
    }


def _disruption_budget(layout: Layout) -> Json:
    return {
        **_head(layout, "policy/v1", "PodDisruptionBudget", names.GATEWAY_NAME),
        "spec": {
            "minAvailable": 1,
            "selector": {"matchLabels": dict(_LABELS)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",  # a pod that does not serve must not hold up a node's drain
        },
    }


def _deployment(layout: Layout, image: str, digest: str) -> Json:
    return {
        **_head(layout, "apps/v1", "Deployment", names.GATEWAY_NAME),
        "spec": {
            "replicas": REPLICAS,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": dict(_LABELS)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": dict(_LABELS), "annotations": {ANNOTATION_BOOTSTRAP: f"sha256:{digest}"}},
                "spec": _pod(layout, image),
            },
        },
    }


def _pod(layout: Layout, image: str) -> Json:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": DRAIN_SECONDS + 15,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 100,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": dict(_LABELS)},
                        },
                    }
                ]
            }
        },
        "containers": [_container(layout, image)],
        "volumes": [
            _config_volume("bootstrap", names.GATEWAY_BOOTSTRAP),
            _config_volume("clusters", names.GATEWAY_CLUSTERS),
            _config_volume("routes", names.GATEWAY_ROUTES),
            {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
    }


def _container(layout: Layout, image: str) -> Json:
    bootstrap_file = f"{layout.config_directory}/bootstrap/{BOOTSTRAP_FILE}"
    mounts = [
        {"name": folder, "mountPath": f"{layout.config_directory}/{folder}", "readOnly": True}
        for folder in ("bootstrap", "clusters", "routes")
    ]
    return {
        "name": "envoy",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["envoy"],
        "args": ["-c", bootstrap_file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning", *_DRAIN],
        "ports": [
            {"name": "http", "containerPort": names.GATEWAY_HTTP_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": names.GATEWAY_METRICS_PORT, "protocol": "TCP"},
        ],
        # The route of the configuration, on the port that serves: Envoy's own readiness is fine without any route.
        "readinessProbe": _probe("/config", period=2, failures=2, host=names.GATEWAY_CONFIG_HOST),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "lifecycle": {"preStop": {"httpGet": {"path": "/drain", "port": names.GATEWAY_METRICS_PORT, "scheme": "HTTP"}}},
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": f"{HEAP_BYTES // 1024**2 + 512}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [*mounts, {"name": "run", "mountPath": layout.run_directory}],
    }


def _probe(path: str, *, period: int, failures: int, host: str | None = None) -> Json:
    headers: Mapping[str, object] = {} if host is None else {"httpHeaders": [{"name": "Host", "value": host}]}
    return {
        "httpGet": {"path": path, "port": names.GATEWAY_HTTP_PORT, "scheme": "HTTP", **headers},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def _config_volume(name: str, source: str) -> Json:
    # 0444: the program runs as a user that is not the owner of the files
    return {"name": name, "configMap": {"name": source, "defaultMode": 0o444}}
