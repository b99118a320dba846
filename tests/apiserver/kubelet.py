"""What a kubelet tells the API server, without running anything: that its node is alive, and that pods have ended."""

import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from apiserver.rest import Rest

NODE = "n1"
_HEARTBEAT_TURNS = 25


class Kubelet:
    """The kubelet of the only node, with a connection of its own."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kubelet")

    def __enter__(self) -> Self:
        room = {"cpu": "64", "memory": "64Gi", "pods": "500"}
        status = {"capacity": room, "allocatable": room, "conditions": [self._ready()]}
        self._rest.post("/api/v1/nodes", {"metadata": {"name": NODE}, "status": status}).must()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._rest.close()

    @staticmethod
    def _ready() -> dict[str, str]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is", "lastHeartbeatTime": now}

    def _work(self) -> None:
        turn = 0
        while not self._stop.wait(0.2):
            turn += 1
            if turn % _HEARTBEAT_TURNS == 0:
                self._rest.patch(f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": [self._ready()]}}).must()
            for pod in self._rest.get("/api/v1/pods", fieldSelector=f"spec.nodeName={NODE}").must()["items"]:
                metadata = pod["metadata"]
                if "deletionTimestamp" in metadata:
                    self._rest.delete(
                        f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", gracePeriodSeconds="0"
                    )
