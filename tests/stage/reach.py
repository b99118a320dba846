"""How the demo and the tests reach a Service: directly where addresses are routed (the test bed), else by port-forward."""

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from testbed.errors import TestbedError
from testbed.kubectl import Kubectl


class Reach(Protocol):
    """A way to a Service."""

    def service(self, namespace: str, name: str, port: int) -> contextlib.AbstractContextManager[str]:
        """Give a base URL for the length of a block."""


class DirectReach:
    """The Service's own address."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    @contextlib.contextmanager
    def service(self, namespace: str, name: str, port: int) -> Iterator[str]:
        """Give the URL of the Service's cluster address."""
        found = self._kubectl.get("service", name, "--namespace", namespace)
        yield f"http://{found['spec']['clusterIP']}:{port}"


class ForwardReach:
    """A kubectl port-forward that lives as long as the block."""

    def __init__(self, kubectl: Path, kubeconfig: Path) -> None:
        self._command = [str(kubectl), f"--kubeconfig={kubeconfig}"]

    @contextlib.contextmanager
    def service(self, namespace: str, name: str, port: int) -> Iterator[str]:
        """Give the URL of a local port."""
        command = [*self._command, "port-forward", f"--namespace={namespace}", f"service/{name}", f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            output = process.stdout
            assert output is not None
            try:
                line = output.readline()
                found = re.search(r"127\.0\.0\.1:(\d+)", line)
                if found is None:
                    raise TestbedError(f"kubectl port-forward to {namespace}/{name} failed: {line.strip()}")
                # It says a line for each connection, and stands still once nobody reads them.
                threading.Thread(target=_swallow, args=(output,), name="port-forward", daemon=True).start()
                yield f"http://127.0.0.1:{found[1]}"
            finally:
                process.terminate()


def _swallow(output: IO[str]) -> None:
    with contextlib.suppress(ValueError):  # closed under way
        for _ in output:
            pass
