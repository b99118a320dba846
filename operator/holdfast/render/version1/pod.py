"""The pod of an engine: fetch and verify first, then serve, with a sidecar that holds the engine to what was approved. Passes the ``restricted`` Pod Security Standard.

What the API server would fill in is written out where it is the same everywhere, so that comparing finds real differences only.
"""

from typing import Any, Final

from holdfast.api import names
from holdfast.api.deployment import Serving
from holdfast.api.revision import ModelRevisionSpec
from holdfast.render.quantity import canonical
from holdfast.render.version1 import container as c
from holdfast.render.version1 import weights
from holdfast.render.version1.base import apart, base_spec, container_security, environment, literal, together
from holdfast.render.version1.container import EngineContainer
from holdfast.render.version1.sidecar import identity_container, identity_volumes

_START_SECONDS: Final = 7200  # of an engine to answer for the first time; a candidate has its own, shorter deadline


def drain_seconds(serving: Serving) -> int:
    """Return how long a pod that ends may finish its requests."""
    return 30 if serving.drain_seconds is None else serving.drain_seconds


def pod_spec(deployment: str, revision: ModelRevisionSpec, serving: Serving, engine: EngineContainer) -> dict[str, Any]:
    """Return the spec of the pods of a revision."""
    return {
        "initContainers": [*weights.verifiers(revision, serving), identity_container(revision, serving)],
        "containers": [_engine(revision, serving, engine)],
        "volumes": _volumes(deployment, revision, serving, engine),
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": c.WITHDRAW_SECONDS + drain_seconds(serving) + c.EXIT_SECONDS,
        "affinity": apart(deployment, revision.number) | (together(deployment, serving) or {}),
        **base_spec(serving),
    }


def _engine(revision: ModelRevisionSpec, serving: Serving, engine: EngineContainer) -> dict[str, Any]:
    drain = drain_seconds(serving)
    mounts = [{"name": "temporary", "mountPath": c.TEMPORARY}, *weights.engine_mounts(revision.model, serving)]
    if revision.model.chat_template.text is not None:
        mounts.append({"name": "revision", "mountPath": c.REVISION, "readOnly": True})
    if engine.shared_memory:
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108 # a volume of the pod's own
    command = {"command": list(engine.command)} if engine.command else {}
    code = {"HF_HUB_CACHE": c.CODE} if revision.model.code else {}
    hold = c.WITHDRAW_SECONDS if engine.finishes_requests else c.WITHDRAW_SECONDS + drain
    return {
        "name": "engine",
        "image": revision.model.engine.image,
        "imagePullPolicy": "IfNotPresent",
        **command,
        "args": literal(engine.args),
        "env": environment({**engine.env, **code}),
        "ports": [{"name": "http", "containerPort": names.ENGINE_PORT, "protocol": "TCP"}],
        "resources": _resources(serving),
        "startupProbe": _probe(engine, period=1, timeout=5, failures=_START_SECONDS),
        "readinessProbe": _probe(engine, period=5, timeout=5, failures=3),
        "livenessProbe": _probe(engine, period=10, timeout=10, failures=6),
        # The gateway first takes the pod out of its endpoints; only then does the engine hear that it shall end.
        "lifecycle": {"preStop": {"sleep": {"seconds": hold}}},
        "securityContext": container_security(),
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


def _volumes(deployment: str, revision: ModelRevisionSpec, serving: Serving, engine: EngineContainer) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        weights.revision_volume(deployment, revision.number),
        {"name": "temporary", "emptyDir": {}},
        *weights.engine_volumes(deployment, revision, serving),
        *identity_volumes(revision, serving),
    ]
    if engine.shared_memory:
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": engine.shared_memory}})
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
