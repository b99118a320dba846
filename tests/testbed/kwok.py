"""Nodes that only pretend (kwok), for work at scale: real objects, no processes."""

from pathlib import Path

from testbed.certificates import Authority
from testbed.control import Control
from testbed.control_plane import ADMINISTRATORS, ControlPlane
from testbed.kubectl import Kubectl

# Nothing is scheduled there by accident, and nothing that tolerates it lands on the real node without a selector.
TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
_STAGES = Path(__file__).with_name("kwok-stages.yaml")
_ANNOTATION = "kwok.x-k8s.io/node"


def start(control: Control, kubectl: Kubectl, control_plane: ControlPlane, program: Path, *, nodes: int) -> None:
    """Start kwok and `nodes` nodes, `kwok-0` and on, with the label `type=kwok` and the taint; wait until all are ready."""
    kubeconfig = control_plane.component("kwok")
    authority = Authority.load(control_plane.pki)
    authority.kubeconfig(kubeconfig, control_plane.server, "kwok", groups=[ADMINISTRATORS])
    command: list[str | Path] = [
        program,
        f"--kubeconfig={kubeconfig}",
        f"--config={_STAGES}",
        f"--manage-nodes-with-annotation-selector={_ANNOTATION}=fake",
        # A range for benchmarks (RFC 2544): the addresses of pods that do not exist.
        "--cidr=198.18.0.0/15",
        "--node-lease-duration-seconds=40",
        "--v=WARN",
    ]
    control.start("kwok", command)
    kubectl.create([_node(number) for number in range(nodes)])
    kubectl.run("wait", "--for=condition=Ready", "node", "--selector=type=kwok", "--timeout=300s", timeout=310.0)


def _node(number: int) -> dict[str, object]:
    name = f"kwok-{number}"
    resources = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {_ANNOTATION: "fake"},
            "labels": {
                "type": "kwok",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
        "spec": {"taints": [TAINT]},
        "status": {"capacity": resources, "allocatable": resources},
    }
