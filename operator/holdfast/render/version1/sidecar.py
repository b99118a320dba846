"""The sidecar of every engine: the pod is ready only as long as the engine says that it is what was approved."""

from typing import Any, Final

from holdfast.api import names
from holdfast.api.revision import ModelRevisionSpec
from holdfast.render.version1 import container as c
from holdfast.render.version1.base import READ_ONLY_MODE, container_security, environment, literal
from holdfast.render.version1.identity import IDENTITY_KEY

_POD: Final = "/holdfast/pod"
"""What the pod's own object says."""
_QUARANTINE: Final = "quarantine"
_MEMORY: Final = "/holdfast/identity"
"""What the sidecar remembers when it is restarted; no other container has it."""


def identity_container(revision: ModelRevisionSpec) -> dict[str, Any]:
    """Return the container: one of those that start before the engine and stay (Kubernetes 1.29, KEP-753)."""
    args = [
        f"--facts={c.REVISION}/{IDENTITY_KEY}",
        f"--quarantine={_POD}/{_QUARANTINE}",
        f"--memory={_MEMORY}/memory.json",
    ]
    return {
        "name": "identity",
        "image": revision.render.weights_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["holdfast-identity"],
        "args": literal(args),
        "env": environment({"PYTHONDONTWRITEBYTECODE": "1"}),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "restartPolicy": "Always",
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": names.IDENTITY_PORT, "scheme": "HTTP"},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "successThreshold": 1,
            "failureThreshold": 1,  # what is not what was approved gets no further request
        },
        "securityContext": container_security(),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "revision", "mountPath": c.REVISION, "readOnly": True},
            {"name": "pod", "mountPath": _POD, "readOnly": True},
            {"name": "identity", "mountPath": _MEMORY},
        ],
    }


def identity_volumes() -> list[dict[str, Any]]:
    """Return the volumes that only the sidecar mounts."""
    path = f"metadata.annotations['{names.ANNOTATION_QUARANTINE}']"
    item = {"path": _QUARANTINE, "fieldRef": {"apiVersion": "v1", "fieldPath": path}}
    return [
        {"name": "pod", "downwardAPI": {"items": [item], "defaultMode": READ_ONLY_MODE}},
        {"name": "identity", "emptyDir": {"sizeLimit": "1Mi"}},
    ]
