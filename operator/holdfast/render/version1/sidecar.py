"""The sidecar of every engine: the pod is ready only as long as the engine says that it is what was approved."""

from typing import Any, Final

from holdfast.api import names
from holdfast.api.deployment import Serving
from holdfast.api.revision import ModelRevisionSpec
from holdfast.domain.artifacts import artifacts_digest
from holdfast.render.version1 import container as c
from holdfast.render.version1 import weights
from holdfast.render.version1.base import READ_ONLY_MODE, container_security, environment, literal
from holdfast.render.version1.identity import IDENTITY_KEY

_POD: Final = "/holdfast/pod"
"""What the pod's own object says."""
_QUARANTINE: Final = "quarantine"
_VERIFY: Final = "verify"
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
            *(mount for _, mount in seen),
        ],
    }


def identity_volumes() -> list[dict[str, Any]]:
    """Return the volumes that only the sidecar mounts."""
    items = [_annotation(_QUARANTINE, names.ANNOTATION_QUARANTINE), _annotation(_VERIFY, names.ANNOTATION_VERIFY)]
    return [
        {"name": "pod", "downwardAPI": {"items": items, "defaultMode": READ_ONLY_MODE}},
        {"name": "identity", "emptyDir": {"sizeLimit": "1Mi"}},
    ]


def _annotation(path: str, name: str) -> dict[str, Any]:
    return {"path": path, "fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{name}']"}}
