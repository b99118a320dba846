"""A wish to have all bytes hashed anew reaches every engine pod once, and changes nothing else."""

from typing import Any

import pytest

from builders import NAME
from holdfast.api.names import ANNOTATION_VERIFY
from holdfast.cluster import kinds
from holdfast.cluster.port import Manifest
from model.fake_cluster import FakeCluster
from process import OperatorProcess, run_engines
from unit.controller.scenes import KEY, serving


def ask(cluster: FakeCluster, word: object) -> None:
    def change(live: Manifest) -> None:
        live["metadata"].setdefault("annotations", {})[ANNOTATION_VERIFY] = word

    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, change)


def told(cluster: FakeCluster) -> dict[str, Any]:
    pods = cluster.view(kinds.POD)
    return {
        key.name: pod["metadata"].get("annotations", {}).get(ANNOTATION_VERIFY)
        for key, pod in pods.items()
        if pod["metadata"]["labels"].get("holdfast.dev/component") == "engine"
    }


async def asked(cluster: FakeCluster, word: object) -> OperatorProcess:
    process = await serving(cluster)
    add_pods(cluster)
    await process.settle(run_engines)
    ask(cluster, word)
    await process.settle(run_engines)
    return process


def add_pods(cluster: FakeCluster) -> None:
    for name in ("x", "y"):
        labels = {"holdfast.dev/component": "engine", "holdfast.dev/deployment": NAME, "holdfast.dev/revision": "1"}
        cluster.put(
            kinds.POD,
            {"metadata": {"namespace": KEY.namespace, "name": f"{NAME}-1-{name}", "labels": labels}, "spec": {}, "status": {}},
        )


async def test_every_engine_pod_is_told_once(cluster: FakeCluster) -> None:
    process = await asked(cluster, "word-1")
    assert told(cluster) == {f"{NAME}-1-x": "word-1", f"{NAME}-1-y": "word-1"}
    before = len(cluster.writes())
    await process.settle(run_engines)
    assert cluster.writes()[before:] == ()
    ask(cluster, "word-2")
    await process.settle(run_engines)
    assert set(told(cluster).values()) == {"word-2"}
    assert [(call.verb, call.kind) for call in cluster.writes()[before:]] == [("patch", kinds.POD)] * 2


async def test_no_template_changes(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    templates = cluster.every(kinds.DEPLOYMENT)
    add_pods(cluster)
    ask(cluster, "word-1")
    await process.settle(run_engines)
    assert set(told(cluster).values()) == {"word-1"}
    assert cluster.every(kinds.DEPLOYMENT) == templates


@pytest.mark.parametrize("word", ["", "two words", "x" * 65, "a\nb", None, 5])
async def test_what_is_no_word_is_handed_to_nobody(cluster: FakeCluster, word: object) -> None:
    await asked(cluster, word)
    assert set(told(cluster).values()) == {None}


async def test_a_pod_that_goes_meanwhile_is_let_go(cluster: FakeCluster) -> None:
    from holdfast.cluster.errors import NotFound

    process = await serving(cluster)
    add_pods(cluster)
    await process.settle(run_engines)
    ask(cluster, "word-1")
    cluster.inject("before", NotFound("pods not found"), verb="patch", kind=kinds.POD)
    await process.settle(run_engines)
    assert list(told(cluster).values()).count("word-1") >= 1
    assert "InternalError" not in process.outcomes
