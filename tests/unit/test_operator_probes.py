"""The probe fails when work does not go on, and only then."""

import pytest

from builders import NAME, NAMESPACE
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.probes import Health
from model.fake_cluster import FakeCluster
from process import OperatorProcess
from unit.controller.scenes import declare, serving


@pytest.fixture
def process() -> OperatorProcess:
    return OperatorProcess(FakeCluster())


def problems(process: OperatorProcess) -> list[str]:
    return Health(process.controller, clock=process.clock).problems()


def test_an_idle_operator_is_well(process: OperatorProcess) -> None:
    process.cluster.advance(100_000)
    assert problems(process) == []


def test_a_key_that_nobody_takes_is_a_problem(process: OperatorProcess) -> None:
    process.controller.queue.add(Key(NAMESPACE, NAME))
    process.cluster.advance(299)
    assert problems(process) == []
    process.cluster.advance(2)
    assert problems(process) == ["a key has waited 301 s for a worker"]


def test_a_reconcile_that_does_not_end_is_a_problem(process: OperatorProcess) -> None:
    process.controller.queue.add(Key(NAMESPACE, NAME))
    process.controller.queue.pop()
    process.cluster.advance(301)
    assert problems(process) == ["a reconcile has run for 301 s"]


async def test_a_watch_that_seems_deaf_is_looked_at_again_before_it_is_given_up() -> None:
    cluster = FakeCluster()
    process = await serving(cluster)
    declare(cluster, "b")
    cluster.lose(kinds.MODEL_DEPLOYMENT)
    cluster.advance(1000)
    await process.controller.resync.sweep()
    await process.work()
    cluster.advance(61)
    assert problems(process) == []
    cluster.calls.clear()
    cluster.advance(2)
    await process.controller.resync.sweep()
    assert [(call.verb, call.kind) for call in cluster.calls] == [("list", kinds.MODEL_DEPLOYMENT)]
    await process.work()
    cluster.lose(kinds.MODEL_DEPLOYMENT)
    cluster.advance(120)
    assert problems(process) == ["the watch of modeldeployments.holdfast.dev has not delivered for 183 s what a list shows"]
