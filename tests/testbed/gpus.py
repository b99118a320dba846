"""GPUs that are only advertised: the scheduler counts them like real ones, no device appears in a pod."""

import json

from testbed.kubectl import Kubectl

RESOURCE = "nvidia.com/gpu"
PRODUCT_LABEL = "nvidia.com/gpu.product"


def advertise(kubectl: Kubectl, node: str, *, count: int, product: str) -> None:
    """Put `count` GPUs of a product into a node's status and labels, as the device plugin and its discovery do.

    The kubelet keeps extended resources that it finds in the status until it starts again.
    """
    quantities = {RESOURCE: str(count)}
    status = json.dumps({"status": {"capacity": quantities, "allocatable": quantities}})
    kubectl.run("patch", "node", node, "--subresource=status", "--type=merge", f"--patch={status}")
    kubectl.run("label", "node", node, "--overwrite", f"{PRODUCT_LABEL}={product}")
