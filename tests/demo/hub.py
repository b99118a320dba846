"""The upstream of the story: a Hub stand-in inside the cluster, whose `main` the demo can move."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from demo.settings import HUB_NAMESPACE, MADE
from stage.installation import restricted_namespace
from stage.reach import Reach
from stage.wait import until
from testbed.hub import Demo, HubAdmin, publish_demo_update, seed_demo
from testbed.kubectl import Kubectl

_PORT = 8100
_CDN_PORT = 8101
_NAME = "hub"


@dataclass
class Upstream:
    """The Hub that models come from."""

    admin: HubAdmin
    outside: str
    """URL for the reader's machine."""
    demo: Demo

    inside = f"http://{_NAME}.{HUB_NAMESPACE}.svc:{_PORT}"
    """URL for pods."""

    def move_main(self) -> str:
        """Publish the second version on `main`; return its commit."""
        self.demo = publish_demo_update(self.admin, self.demo)
        commit = self.demo.chat_gguf[1]
        assert commit is not None
        return commit


@contextlib.contextmanager
def upstream(kubectl: Kubectl, reach: Reach, image: str) -> Iterator[Upstream]:
    """Run a fresh Hub in the cluster and fill it with the first version."""
    token = secrets.token_hex(16)
    kubectl.run("delete", "pod", _NAME, "--namespace", HUB_NAMESPACE, "--ignore-not-found", "--grace-period=0", "--force")
    kubectl.apply(_objects(image, token))
    kubectl.run("wait", "--for=condition=Ready", f"pod/{_NAME}", "--namespace", HUB_NAMESPACE, "--timeout=120s", timeout=150.0)
    with reach.service(HUB_NAMESPACE, _NAME, _PORT) as url:
        admin = HubAdmin(url, token)
        until(lambda: _answers(admin), what="an answer of the Hub")
        yield Upstream(admin=admin, outside=url, demo=seed_demo(admin, update=False))


def _answers(admin: HubAdmin) -> bool:
    try:
        admin.health()
    except OSError:
        return False
    return True


def _objects(image: str, token: str) -> list[dict[str, Any]]:
    metadata = {"name": _NAME, "namespace": HUB_NAMESPACE, "labels": {"app.kubernetes.io/name": _NAME}}
    return [
        restricted_namespace(HUB_NAMESPACE, **dict([MADE])),
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"admin-token": token}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app.kubernetes.io/name": _NAME}, "ports": [{"name": "http", "port": _PORT}]},
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod(image)},
    ]


def _pod(image: str) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "hub",
                "image": image,
                "args": [
                    f"--listen=$(POD_IP):{_PORT}",
                    f"--cdn-port={_CDN_PORT}",
                    "--loopback",
                    "--admin-token-file=/var/run/hub/admin-token",
                ],
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "ports": [{"name": "http", "containerPort": _PORT}],
                "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "token", "mountPath": "/var/run/hub", "readOnly": True},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }
        ],
        "volumes": [{"name": "token", "secret": {"secretName": _NAME}}, {"name": "tmp", "emptyDir": {}}],
    }
