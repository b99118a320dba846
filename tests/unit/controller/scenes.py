"""Scenes with one ModelDeployment on the in-memory cluster."""

from typing import Any, Final

from builders import NAME, NAMESPACE, model
from holdfast.api.names import Key
from holdfast.cluster import kinds
from model.fake_cluster import FakeCluster
from process import OperatorProcess, run_engines
from unit.controller.objects import Manifest

KEY: Final = Key(NAMESPACE, NAME)


def declare(cluster: FakeCluster, letter: str = "a", **more: Any) -> None:
    spec = {"model": model(letter), "serving": {"replicas": 1}} | more
    cluster.put(kinds.MODEL_DEPLOYMENT, {"metadata": {"namespace": NAMESPACE, "name": NAME}, "spec": spec})


def status(cluster: FakeCluster) -> Manifest:
    found = cluster.read(kinds.MODEL_DEPLOYMENT, KEY)
    assert found is not None
    result: Manifest = found.get("status", {})
    return result


def approve(cluster: FakeCluster, gate: str = "Start", name: str | None = None) -> None:
    request = status(cluster)["request"]
    target = {"name": NAME, "digest": request["digest"], "request": request["number"]}
    target |= {"base": request["base"]} if "base" in request else {}
    cluster.put(
        kinds.MODEL_APPROVAL,
        {
            "metadata": {"namespace": NAMESPACE, "name": name or f"{gate.lower()}-{request['number']}"},
            "spec": {"decision": "Approve", "gate": gate, "target": target, "approver": {"username": "alice"}},
        },
    )


async def started(cluster: FakeCluster, **parts: Any) -> OperatorProcess:
    process = OperatorProcess(cluster, **parts)
    await process.start()
    return process


async def serving(cluster: FakeCluster) -> OperatorProcess:
    """An operator at rest with revision 1 in service."""
    declare(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    approve(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Stable"
    return process


def texts(cluster: FakeCluster) -> list[str]:
    return [f"{condition['type']}={condition['reason']}" for condition in status(cluster).get("conditions", [])]
