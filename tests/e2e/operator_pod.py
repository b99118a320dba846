"""The operator's pod, to be killed and stopped by tests."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stage.installation import NAMESPACE, Installation
from stage.wait import until
from testbed import Testbed

DEPLOYMENT = "holdfast-operator"
_IDLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator as the bed runs it."""

    bed: Testbed
    installation: Installation

    def pods(self) -> list[str]:
        """Return the names of its pods."""
        return [pod["metadata"]["name"] for pod in self.installation.operator_pods()]

    def kill(self) -> None:
        """SIGKILL it, at once: no grace, no goodbye. Its Deployment starts another pod."""
        for name in self.pods():
            self.bed.kubectl.run(
                "delete", "pod", name, "--namespace", NAMESPACE, "--grace-period=0", "--force", "--ignore-not-found"
            )

    def wait_ready(self) -> None:
        """Wait until its only pod is ready. The pods are asked: the status of the Deployment may be from before a kill."""

        def ready() -> bool:
            pods = self.installation.operator_pods()
            conditions = [c for pod in pods for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]
            return len(pods) == 1 and [c["status"] for c in conditions] == ["True"]

        until(ready, what="a ready operator")

    def wait_idle(self) -> dict[str, float]:
        """Wait until it has written nothing for a while after it looked at everything; return what it wrote since its start.

        That is the number of writes that it sent, by verb and resource, whatever their answer was.
        """
        last: list[Any] = [None, time.monotonic()]

        def quiet() -> list[Any] | None:
            metrics = self.installation.operator_metrics()
            writes = metrics.get("holdfast_api_writes_total", {})
            if writes != last[0]:
                last[:] = [writes, time.monotonic()]
            looked = sum(metrics.get("holdfast_reconcile_duration_seconds_count", {}).values()) > 0
            return last if looked and time.monotonic() - last[1] >= _IDLE_SECONDS else None

        found: dict[str, float] = until(quiet, what="an operator that has nothing to write", pause=0.3)[0]
        return found

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep it away for the length of a block."""
        self._scale(0)
        try:
            until(lambda: not self.pods(), what="the end of the operator's pods")
            yield
        finally:
            self._scale(1)
            self.wait_ready()

    def _scale(self, replicas: int) -> None:
        self.bed.kubectl.run("scale", f"deployment/{DEPLOYMENT}", "--namespace", NAMESPACE, f"--replicas={replicas}")
