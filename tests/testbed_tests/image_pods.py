"""Pods of the bed's images, as strict as `restricted` and a read-only root file system make them."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testbed import Testbed
from testbed_tests.leftovers import wait_until

NAMESPACE = "images"
PORT = 8000
SECURITY = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that listens on `PORT`, and how long it took from its creation until it was ready, in seconds."""

    bed: Testbed
    name: str
    address: str
    seconds: float

    def get(self, path: str) -> str:
        return self._ask(urllib.request.Request(f"http://{self.address}:{PORT}{path}"))

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def chat(self) -> Any:
        body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "temperature": 0}
        request = urllib.request.Request(
            f"http://{self.address}:{PORT}/v1/chat/completions", json.dumps(body).encode(), method="POST"
        )
        request.add_header("Content-Type", "application/json")
        return json.loads(self._ask(request))

    def run(self, *command: str) -> str:
        return self.bed.kubectl.run("exec", "--namespace", NAMESPACE, self.name, "--", *command)

    def _ask(self, request: urllib.request.Request) -> str:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  (an http URL of our own)
            text: str = answer.read().decode()
            return text


def spec(
    image: str,
    *,
    command: Sequence[str] = (),
    args: Sequence[str] = (),
    files: str | None = None,
    at: str = "/files",
    health: str | None = None,
    container: Mapping[str, object] | None = None,
    volumes: Mapping[str, tuple[str, Mapping[str, object]]] | None = None,
) -> dict[str, object]:
    """The spec of a pod; `files` is a ConfigMap shown at the path `at`, `volumes` maps a name to a path and an emptyDir."""
    mounted = {"tmp": ("/tmp", {"emptyDir": {}}), **(volumes or {})}
    if files is not None:
        mounted["files"] = (at, {"configMap": {"name": files}})
    probe = {"readinessProbe": {"httpGet": {"path": health, "port": PORT}, "periodSeconds": 1}} if health else {}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "main",
                "image": image,
                **({"command": list(command)} if command else {}),
                **({"args": list(args)} if args else {}),
                **probe,
                "securityContext": SECURITY,
                "volumeMounts": [{"name": name, "mountPath": path} for name, (path, _) in mounted.items()],
                **(container or {}),
            }
        ],
        "volumes": [{"name": name, **source} for name, (_, source) in mounted.items()],
    }


def config_map(name: str, files: Mapping[str, bytes]) -> dict[str, object]:
    data = {path: base64.b64encode(content).decode() for path, content in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "binaryData": data}


def _create(bed: Testbed, name: str, of: Mapping[str, object]) -> None:
    metadata = {"name": name, "namespace": NAMESPACE}
    bed.kubectl.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": of}])


def serve(bed: Testbed, name: str, of: Mapping[str, object], *, within: float = 60) -> Pod:
    """Run a pod until it is ready; fails with its log if it ends before, or is not ready in time (seconds)."""

    def ready_or_ended() -> bool:
        status = bed.kubectl.get("pod", name, "--namespace", NAMESPACE)["status"]
        container = (status.get("containerStatuses") or [{}])[0]
        return bool(container.get("ready") or container.get("state", {}).get("terminated"))

    began = time.monotonic()
    _create(bed, name, of)
    ended = wait_until(ready_or_ended, within=within)
    seconds = time.monotonic() - began
    found = bed.kubectl.get("pod", name, "--namespace", NAMESPACE)["status"]
    assert ended, _story(bed, name)
    assert found["containerStatuses"][0]["ready"], _story(bed, name)
    print(f"{name}: ready after {seconds:.1f} s")
    return Pod(bed, name, found["podIP"], seconds)


def _story(bed: Testbed, name: str) -> str:
    return "\n".join(bed.kubectl.run(verb, f"pod/{name}", "--namespace", NAMESPACE) for verb in ("describe", "logs"))


def complete(bed: Testbed, name: str, of: Mapping[str, object]) -> tuple[int, str]:
    """Run a pod to its end; its exit code and its log."""

    def ended() -> Any:
        statuses = bed.kubectl.get("pod", name, "--namespace", NAMESPACE)["status"].get("containerStatuses") or [{}]
        return statuses[0].get("state", {}).get("terminated")

    _create(bed, name, of)
    assert wait_until(ended, within=60), _story(bed, name)
    return int(ended()["exitCode"]), bed.kubectl.run("logs", name, "--namespace", NAMESPACE)
