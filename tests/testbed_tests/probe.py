"""An image of one static program, and pods that run it as strictly as `restricted` asks."""

import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from testbed import Testbed


def push(bed: Testbed, folder: Path) -> str:
    """Make the image, push it to the bed, and return its reference by digest."""
    crane = str(bed.programs.crane)
    layer = folder / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        archive.add(bed.programs.path("probe"), "probe")
    tag = f"{bed.registry}/probe:1"
    for command in (
        ["append", "--oci-empty-base", "--new_layer", str(layer), "--new_tag", tag],
        ["mutate", tag, "--set-platform", "linux/amd64", "--entrypoint", "/probe", "--tag", tag],
    ):
        result = subprocess.run([crane, *command], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def pod_spec(image: str, arguments: Sequence[str]) -> dict[str, object]:
    return {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "probe",
                "image": image,
                "args": list(arguments),
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def namespace(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }


def deployment(namespace: str, name: str, image: str, *, replicas: int = 1) -> dict[str, object]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(image, ["serve", ":8080"])},
        },
    }


def service(namespace: str, name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
