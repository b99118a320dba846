"""A real single-node Kubernetes on a plain Linux machine, for tests, the demo and laptops.

from testbed import Testbed

with Testbed("example") as bed:
print(bed.kubeconfig, bed.registry)
"""

from testbed.bed import Testbed
from testbed.errors import TestbedError

__all__ = ["Testbed", "TestbedError"]
