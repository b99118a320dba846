"""A provider outside the fleet: an OpenAI-compatible server in a namespace that has nothing to do with Holdfast."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

from testbed import Testbed, images

PORT = 8000
_NAME = "provider"
_FILE = {"config.json": "{}"}


@dataclass(frozen=True, slots=True)
class Provider:
    """As clients and the tests see it."""

    url: str
    """Base URL for clients inside the cluster, with the path that takes the place of /v1."""
    model: str
    """The only model name that it answers to."""
    control: str

    def answered(self) -> int:
        """Return how many completions it answered."""
        with urllib.request.urlopen(f"{self.control}/fake/state", timeout=30) as response:  # noqa: S310  (an http URL of our own)
            state: dict[str, Any] = json.load(response)
        return int(state["completions"]["answered"])


def provide(bed: Testbed, namespace: str, *, model: str) -> Provider:
    """Run a provider until its namespace goes."""
    labels = {"app": _NAME}
    metadata = {"name": _NAME, "namespace": namespace, "labels": labels}
    container = {
        "name": _NAME,
        "image": images.ensure(bed, "fake-engine"),
        "args": ["--flavor", "vllm", "serve", "/model", f"--served-model-name={model}", f"--port={PORT}"],
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "model", "mountPath": "/model"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "model", "configMap": {"name": _NAME}}]}
    bed.kubectl.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": _FILE},
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": labels, "ports": [{"name": "http", "port": PORT}]},
            },
        ]
    )
    bed.kubectl.run("wait", "--for=condition=Ready", f"pod/{_NAME}", "--namespace", namespace, "--timeout=120s", timeout=150.0)
    address = bed.kubectl.get("pod", _NAME, "--namespace", namespace)["status"]["podIP"]
    return Provider(f"http://{_NAME}.{namespace}.svc:{PORT}/v1", model, f"http://{address}:{PORT}")
