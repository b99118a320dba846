"""The operator closes the way out of pods that have fetched, whatever else there is to do, and writes nothing twice."""

import pytest

from builders import NAME
from holdfast.api.names import LABEL_FETCHING, Key
from holdfast.cluster import kinds
from holdfast.cluster.errors import Conflict, Rejected
from holdfast.cluster.port import Manifest
from model.fake_cluster import FakeCluster
from process import OperatorProcess, run_engines
from unit.controller.scenes import KEY, serving, started

POD = Key(KEY.namespace, f"{NAME}-1-x")
FETCHED: Manifest = {"terminated": {"exitCode": 0}}


def put(cluster: FakeCluster, state: Manifest, *, engine: Manifest | None = None, labelled: bool = True) -> None:
    labels = {"holdfast.dev/component": "engine", "holdfast.dev/deployment": NAME, "holdfast.dev/revision": "1"}
    labels |= {LABEL_FETCHING: "true"} if labelled else {}
    status = {
        "initContainerStatuses": [{"name": "weights", "state": state}],
        "containerStatuses": [{"name": "engine", "state": engine or {"waiting": {}}}],
    }
    spec = {"initContainers": [{"name": "weights", "args": ["fetch", "--x"]}]}
    metadata = {"namespace": POD.namespace, "name": POD.name, "labels": labels}
    cluster.put(kinds.POD, {"metadata": metadata, "spec": spec})
    cluster.set_status(kinds.POD, POD, status)


def let_out(cluster: FakeCluster) -> bool:
    found = cluster.read(kinds.POD, POD)
    assert found is not None
    return LABEL_FETCHING in found["metadata"]["labels"]


@pytest.fixture
async def process(cluster: FakeCluster) -> OperatorProcess:
    return await serving(cluster)


async def test_it_is_open_while_the_pod_fetches_and_closed_after(cluster: FakeCluster, process: OperatorProcess) -> None:
    put(cluster, {"running": {}})
    await process.settle(run_engines)
    assert let_out(cluster)
    put(cluster, FETCHED)
    before = len(cluster.writes())
    await process.settle(run_engines)
    assert not let_out(cluster)
    assert [call.verb for call in cluster.writes()[before:] if call.kind is kinds.POD] == ["patch"]


async def test_it_is_opened_again_for_a_pod_that_begins_anew(cluster: FakeCluster, process: OperatorProcess) -> None:
    put(cluster, {"waiting": {"reason": "PodInitializing"}}, labelled=False)
    await process.settle(run_engines)
    assert let_out(cluster)


async def test_it_stays_closed_while_the_engine_runs_whatever_the_pod_says_of_its_fetch(
    cluster: FakeCluster, process: OperatorProcess
) -> None:
    put(cluster, {"waiting": {"reason": "PodInitializing"}}, engine={"running": {}}, labelled=False)
    await process.settle(run_engines)
    assert not let_out(cluster)


async def test_an_operator_that_was_away_closes_it_and_another_one_writes_nothing(
    cluster: FakeCluster, process: OperatorProcess
) -> None:
    del process
    put(cluster, FETCHED, engine={"running": {}})
    second = await started(cluster)
    await second.settle(run_engines)
    assert not let_out(cluster)
    before = len(cluster.writes())
    third = await started(cluster)
    await third.settle(run_engines)
    assert cluster.writes()[before:] == ()


@pytest.mark.parametrize("error", [Rejected("no"), Conflict("another")], ids=["refused", "another pod"])
async def test_it_is_tried_again_and_nothing_else_waits_for_it(
    cluster: FakeCluster, process: OperatorProcess, error: Exception
) -> None:
    put(cluster, FETCHED)
    cluster.inject("before", error, verb="patch", kind=kinds.POD)
    await process.settle(run_engines)
    assert "InternalError" not in process.outcomes
    assert not let_out(cluster)
