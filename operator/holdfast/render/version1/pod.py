"""The pod of an engine: fetch and verify first, then serve. Passes the ``restricted`` Pod Security Standard.

What the API server would fill in is written out where it is the same everywhere, so that comparing finds real differences only.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.api import names
from holdfast.api.deployment import CacheType, Serving
from holdfast.api.revision import ModelRevisionSpec
from holdfast.render.labels import labels
from holdfast.render.quantity import canonical
from holdfast.render.version1 import container as c
from holdfast.render.version1.container import EngineContainer

_USER: Final = 65532
_READ_ONLY_MODE: Final = 0o444
_PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
_START_SECONDS: Final = 7200  # of an engine to answer for the first time; a candidate has its own, shorter deadline


def drain_seconds(serving: Serving) -> int:
    """Return how long a pod that ends may finish its requests."""
    return 30 if serving.drain_seconds is None else serving.drain_seconds


def pod_spec(deployment: str, revision: ModelRevisionSpec, serving: Serving, engine: EngineContainer) -> dict[str, Any]:
    """Return the spec of the pods of a revision."""
    spec: dict[str, Any] = {
        "initContainers": [_weights(revision, serving)],
        "containers": [_engine(revision, serving, engine)],
        "volumes": _volumes(deployment, revision, serving, engine),
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": c.WITHDRAW_SECONDS + drain_seconds(serving) + c.EXIT_SECONDS,
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
        "affinity": _apart(deployment, revision.number),
    }
    return spec | _scheduling(serving)


def _weights(revision: ModelRevisionSpec, serving: Serving) -> dict[str, Any]:
    source = revision.model.source
    hub = source.hugging_face
    if hub is None:
        raise ValueError("only a repository of a Hub can be fetched")
    mounts = [
        {"name": "revision", "mountPath": c.REVISION, "readOnly": True},
        {"name": "temporary", "mountPath": c.TEMPORARY},
        {"name": "weights", "mountPath": c.WEIGHTS},
    ]
    args = [
        "fetch",
        f"--manifest={c.REVISION}/{c.MANIFEST_KEY}",
        f"--manifest-digest={source.manifest_digest}",
        f"--endpoint={hub.endpoint}",
        f"--repository={hub.repository}",
        f"--commit={hub.commit}",
        f"--directory={c.WEIGHTS}",
    ]
    if serving.hub_token:
        mounts.append({"name": "token", "mountPath": c.TOKEN, "readOnly": True})
        args.append(f"--token-file={c.TOKEN}/token")
    return {
        "name": "weights",
        "image": revision.render.weights_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["holdfast-weights"],
        "args": _literal(args),
        "env": _env({"HOME": c.TEMPORARY, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": c.TEMPORARY}),
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": _container_security(),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }


def _engine(revision: ModelRevisionSpec, serving: Serving, engine: EngineContainer) -> dict[str, Any]:
    drain = drain_seconds(serving)
    subdirectory = revision.model.source.manifest_digest.replace(":", "-")
    mounts = [
        {"name": "temporary", "mountPath": c.TEMPORARY},
        {"name": "weights", "mountPath": c.MODEL, "subPath": subdirectory, "readOnly": True},
    ]
    if revision.model.chat_template.text is not None:
        mounts.append({"name": "revision", "mountPath": c.REVISION, "readOnly": True})
    if engine.shared_memory:
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108 # a volume of the pod's own
    command = {"command": list(engine.command)} if engine.command else {}
    hold = c.WITHDRAW_SECONDS if engine.finishes_requests else c.WITHDRAW_SECONDS + drain
    return {
        "name": "engine",
        "image": revision.model.engine.image,
        "imagePullPolicy": "IfNotPresent",
        **command,
        "args": _literal(engine.args),
        "env": _env(engine.env),
        "ports": [{"name": "http", "containerPort": names.ENGINE_PORT, "protocol": "TCP"}],
        "resources": _resources(serving),
        "startupProbe": _probe(engine, period=1, timeout=5, failures=_START_SECONDS),
        "readinessProbe": _probe(engine, period=5, timeout=5, failures=3),
        "livenessProbe": _probe(engine, period=10, timeout=10, failures=6),
        # The gateway first takes the pod out of its endpoints; only then does the engine hear that it shall end.
        "lifecycle": {"preStop": {"sleep": {"seconds": hold}}},
        "securityContext": _container_security(),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def _probe(engine: EngineContainer, *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    """Return a probe; `period` and `timeout` are in seconds."""
    return {
        "httpGet": {"path": engine.health_path, "port": names.ENGINE_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def _container_security() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def _literal(arguments: Sequence[str]) -> list[str]:
    """Return arguments that the kubelet hands on as they are: it would replace ``$(NAME)`` by a variable's value."""
    return [argument.replace("$", "$$") for argument in arguments]


def _volumes(deployment: str, revision: ModelRevisionSpec, serving: Serving, engine: EngineContainer) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {
            "name": "revision",
            "configMap": {
                "name": names.revision_config_name(deployment, revision.number),
                "defaultMode": _READ_ONLY_MODE,
            },
        },
        {"name": "temporary", "emptyDir": {}},
    ]
    if serving.cache and serving.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM:
        volumes.append({"name": "weights", "persistentVolumeClaim": {"claimName": names.weights_claim_name(deployment)}})
    else:
        volumes.append({"name": "weights", "emptyDir": {}})
    if engine.shared_memory:
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": engine.shared_memory}})
    if serving.hub_token:
        volumes.append(
            {
                "name": "token",
                "secret": {
                    "secretName": serving.hub_token.name,
                    "items": [{"key": serving.hub_token.key, "path": "token"}],
                    "defaultMode": _READ_ONLY_MODE,
                    "optional": True,  # verified weights in the cache serve on without it
                },
            }
        )
    return volumes


def _resources(serving: Serving) -> dict[str, Any]:
    found: dict[str, Any] = {}
    declared = serving.resources.wire() if serving.resources else {}
    extended = {serving.accelerator.resource: str(serving.accelerator.count)} if serving.accelerator else {}
    for kind in ("requests", "limits"):
        values = {name: canonical(value) for name, value in declared.get(kind, {}).items()} | extended
        if values:
            found[kind] = values
    return found


def _apart(deployment: str, number: int) -> dict[str, Any]:
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


def _env(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Return variables sorted by name. An empty value is left out, as the API server does; it still sets the variable."""
    return [{"name": name, "value": value} if value else {"name": name} for name, value in sorted(values.items())]
