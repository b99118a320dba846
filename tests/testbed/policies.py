"""NetworkPolicies for the bed.

The bridge plugin does not enforce them, and the CNIs that do need more than a plain machine has; on a real cluster the
CNI does it.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from testbed.certificates import Authority
from testbed.control import Control
from testbed.control_plane import ControlPlane
from testbed.kubectl import Kubectl

_USER = "testbed:policies"


def start(control: Control, kubectl: Kubectl, plane: ControlPlane, environment: Mapping[str, str]) -> None:
    """Start enforcing under the bed's supervisor."""
    certificate, key = Authority.load(plane.pki).issue("policies", _USER)
    kubectl.apply(_access())
    source = str(Path(__file__).parent.parent)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "testbed.policy_enforcer",
        plane.server,
        plane.pki / "ca.crt",
        certificate,
        key,
    ]
    control.start("policies", command, env={**environment, "PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"})


def _access() -> list[dict[str, object]]:
    group = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]
    subject = {"apiGroup": group, "kind": "User", "name": _USER}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": _USER}
    metadata = {"name": _USER}
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [subject],
        },
    ]
