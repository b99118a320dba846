"""The sidecar of every engine: the pod is ready only as long as the engine says that it is what was approved."""

from typing import Any, Final

from holdfast.api import names
from holdfast.api.deployment import Serving
from holdfast.api.revision import ModelRevisionSpec
from holdfast.domain.artifacts import artifacts_digest
from holdfast.domain.weights import is_fetched_by_pod
from holdfast.render.version1 import container as c
from holdfast.render.version1 import weights
from holdfast.render.version1.base import READ_ONLY_MODE, container_security, environment, literal
from holdfast.render.version1.identity import IDENTITY_KEY

_POD: Final = "/holdfast/pod"
"""What the pod's own object says."""
_QUARANTINE: Final = "quarantine"
_VERIFY: Final = "verify"
_FETCHING: Final = "fetching"
_PATIENCE_SECONDS: Final = 15
"""For the operator to shut the pod in. It may be down, and pods are replaced all the same: then the engine starts with the way out open."""
_MEMORY: Final = "/holdfast/identity"
"""What the sidecar remembers when it is restarted; no other container has it."""


def identity_container(revision: ModelRevisionSpec, serving: Serving) -> dict[str, Any]:
    """Return the container: one of those that start before the engine and stay (Kubernetes 1.29, KEP-753).

    It mounts what the engine mounts of the artifacts, to hash it when the owner asks.
    """
    seen = weights.artifact_mounts(revision.model, serving)
    args = [
        f"--facts={c.REVISION}/{IDENTITY_KEY}",
        f"--quarantine={_POD}/{_QUARANTINE}",
        f"--memory={_MEMORY}/memory.json",
        f"--verify-request={_POD}/{_VERIFY}",
        f"--artifacts={c.REVISION}/{c.ARTIFACTS_KEY}",
        f"--artifacts-digest={artifacts_digest(revision.model)}",
        *(f"--folder={name}={mount['mountPath']}" for name, mount in seen),
    ]
    started: dict[str, Any] = {}
    if is_fetched_by_pod(revision.model, serving):
        args += [f"--fetching={_POD}/{_FETCHING}", f"--fetching-patience={_PATIENCE_SECONDS}"]
        # The engine starts when this probe succeeds (KEP-753): no code of it runs while its pod may send anything anywhere.
        started["startupProbe"] = _probe("/started", failures=4 * _PATIENCE_SECONDS)
    return {
        "name": "identity",
        "image": revision.render.weights_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["holdfast-identity"],
        "args": literal(args),
        "env": environment({"PYTHONDONTWRITEBYTECODE": "1"}),
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"memory": "512Mi"},
        },  # as the weights containers, while it verifies
        "restartPolicy": "Always",
        **started,
        "readinessProbe": _probe("/ready", failures=1),  # what is not what was approved gets no further request
        "securityContext": container_security(),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "revision", "mountPath": c.REVISION, "readOnly": True},
            {"name": "pod", "mountPath": _POD, "readOnly": True},
            {"name": "identity", "mountPath": _MEMORY},
            *(mount for _, mount in seen),
        ],
    }


def identity_volumes(revision: ModelRevisionSpec, serving: Serving) -> list[dict[str, Any]]:
    """Return the volumes that only the sidecar mounts."""
    items = [
        _mark(_QUARANTINE, "annotations", names.ANNOTATION_QUARANTINE),
        _mark(_VERIFY, "annotations", names.ANNOTATION_VERIFY),
    ]
    if is_fetched_by_pod(revision.model, serving):
        items.append(_mark(_FETCHING, "labels", names.LABEL_FETCHING))
    return [
        {"name": "pod", "downwardAPI": {"items": items, "defaultMode": READ_ONLY_MODE}},
        {"name": "identity", "emptyDir": {"sizeLimit": "1Mi"}},
    ]


def _mark(path: str, kind: str, name: str) -> dict[str, Any]:
    return {"path": path, "fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.{kind}['{name}']"}}


def _probe(path: str, *, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": names.IDENTITY_PORT, "scheme": "HTTP"},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": failures,
    }
