"""Holdfast on a cluster, installed by its Helm chart as users do."""

import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.kubectl import Kubectl

NAMESPACE = "holdfast-system"
RELEASE = "holdfast"
CHART = Path(__file__).parents[2] / "charts" / "holdfast"
SELECTOR = "app.kubernetes.io/name=holdfast"


class InstallationError(Exception):
    """Helm failed; the text has its output."""


@dataclass(frozen=True, slots=True)
class Images:
    """Images by digest."""

    holdfast: str
    gateway: str
    weights: str


@dataclass(frozen=True, slots=True)
class Installation:
    """A release of the chart."""

    kubectl: Kubectl
    helm: Path
    kubeconfig: Path
    images: Images
    hub: str

    def command(self, *, operator_image: str | None = None) -> list[str]:
        """Return the command line that installs or upgrades."""
        values = {
            **_image("image", operator_image or self.images.holdfast),
            **_image("weightsImage", self.images.weights),
            **_image("gatewayImage", self.images.gateway),
            "hub.endpoint": self.hub,
        }
        settings = [word for name, value in values.items() for word in ("--set-string", f"{name}={value}")]
        return [
            str(self.helm), "upgrade", "--install", RELEASE, str(CHART),
            "--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "180s", *settings,
        ]  # fmt: skip

    def install(self, *, operator_image: str | None = None) -> None:
        """Install or upgrade, and wait until the operator is ready.

        Raises:
            InstallationError: Helm said no.
        """
        command = [*self.command(operator_image=operator_image), "--kubeconfig", str(self.kubeconfig)]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        if result.returncode != 0:
            raise InstallationError(result.stdout)

    def operator_pods(self) -> list[dict[str, Any]]:
        """Return the operator's pods."""
        found = self.kubectl.get("pods", "--namespace", NAMESPACE, "--selector", SELECTOR)
        pods: list[dict[str, Any]] = found["items"]
        return pods

    def operator_metrics(self) -> dict[str, dict[str, float]]:
        """Return the operator's metrics: by name, the value for each combination of labels as it is written."""
        running = [pod for pod in self.operator_pods() if "deletionTimestamp" not in pod["metadata"]]
        address = running[0]["status"]["podIP"]
        with urllib.request.urlopen(f"http://{address}:8081/metrics", timeout=10) as response:
            text = response.read().decode()
        found: dict[str, dict[str, float]] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                sample, _, value = line.rpartition(" ")
                name, _, labels = sample.partition("{")
                found.setdefault(name, {})[labels.rstrip("}")] = float(value)
        return found


def grant(kubectl: Kubectl, namespace: str, user: str, *roles: str) -> None:
    """Give a person ClusterRoles in a namespace."""
    kubectl.apply(
        [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": f"owner-{role}", "namespace": namespace},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
            }
            for role in roles
        ]
    )


def restricted_namespace(name: str, **labels: str) -> dict[str, Any]:
    """Return a namespace in which only restricted pods may run."""
    metadata = {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"} | labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _image(value: str, reference: str) -> dict[str, str]:
    repository, _, digest = reference.partition("@")
    return {f"{value}.repository": repository, f"{value}.digest": digest}
