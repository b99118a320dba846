"""kubectl that reads over one connection of its own: tests that wait look five times a second, and each process of kubectl costs."""

from pathlib import Path
from typing import Any, Final

from apiserver.rest import Rest
from testbed.errors import TestbedError
from testbed.kubectl import Kubectl

_GROUPS: Final = {
    "pods": "api/v1",
    "namespaces": "api/v1",
    "modeldeployments.holdfast.dev": "apis/holdfast.dev/v1alpha1",
}
"""The kinds that tests wait for, by their names on the command line."""
_OPTIONS: Final = {"--namespace": "namespace", "--selector": "labelSelector"}


class QuickKubectl(Kubectl):
    """As `Kubectl`; what it does not know how to read itself it leaves to the program."""

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        super().__init__(program, kubeconfig)
        self._rest = Rest.of(kubeconfig)

    def close(self) -> None:
        """Close the connection."""
        self._rest.close()

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, parsed; raises TestbedError with the server's message if there is no such object."""
        kind, *rest = arguments
        name = rest.pop(0) if rest and not rest[0].startswith("--") else ""
        options = dict(zip(rest[::2], rest[1::2], strict=False))
        if kind not in _GROUPS or len(rest) % 2 or not options.keys() <= _OPTIONS.keys():
            return super().get(*arguments)
        query = {_OPTIONS[option]: value for option, value in options.items()}
        namespace = query.pop("namespace", "")
        parts = (_GROUPS[kind], *(("namespaces", namespace) if namespace else ()), kind.partition(".")[0], name)
        answer = self._rest.get("/" + "/".join(part for part in parts if part), **query)
        if not answer.ok:
            raise TestbedError(f"kubectl get {' '.join(arguments)} failed: {answer.message}")
        return answer.body
