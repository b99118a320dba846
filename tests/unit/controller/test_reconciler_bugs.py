"""A bug of Holdfast itself: told where people look, once, and gone when it is over. What people decide goes on."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from builders import NAME, NAMESPACE
from holdfast.cluster import kinds
from holdfast.domain.decide import decide
from holdfast.domain.plan import Plan
from holdfast.domain.snapshot import DeploymentView, RevisionView, Snapshot
from holdfast.render import deployment as real_renderer
from model.fake_cluster import FakeCluster
from process import OperatorProcess, run_engines
from unit.controller.objects import Manifest
from unit.controller.scenes import KEY, serving, started, status, texts


class Bug:
    """Strikes in one of two places for as long as it is there."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.there = True

    problems = staticmethod(real_renderer.problems)
    shared_objects = staticmethod(real_renderer.shared_objects)

    def engine_objects(self, deployment: DeploymentView, revision: RevisionView, replicas: int) -> Sequence[Manifest]:
        self.strike("rendering")
        return real_renderer.engine_objects(deployment, revision, replicas)

    def decide(self, snapshot: Snapshot, now: datetime) -> Plan:
        self.strike("deciding")
        return decide(snapshot, now)

    def strike(self, place: str) -> None:
        if self.there and place == self.place:
            raise KeyError("oops")


@pytest.fixture(params=["rendering", "deciding"])
def bug(request: pytest.FixtureRequest) -> Bug:
    return Bug(request.param)


async def struck(cluster: FakeCluster, bug: Bug) -> OperatorProcess:
    """An operator that was at rest, and meets the bug when it looks again."""
    await serving(cluster)
    bug.there = False
    process = await started(cluster, renderer=bug, decide=bug.decide)
    await process.settle(run_engines)
    bug.there = True
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["metadata"].update(labels={"looked": "at"}))
    await process.settle(run_engines)
    return process


async def test_it_is_told_without_its_details_and_what_serves_is_left_alone(cluster: FakeCluster, bug: Bug) -> None:
    process = await struck(cluster, bug)
    assert "InternalError" in process.outcomes
    stalled = [each for each in status(cluster)["conditions"] if each["type"] == "Stalled"]
    assert [(each["status"], each["reason"]) for each in stalled] == [("True", "InternalError")]
    assert "oops" not in str(status(cluster))
    assert "Ready=Serving" in texts(cluster)


async def test_it_is_told_once_however_long_it_lasts(cluster: FakeCluster, bug: Bug) -> None:
    process = await struck(cluster, bug)
    before = len(cluster.writes())
    process.outcomes.clear()
    for _ in range(20):
        cluster.advance(61)
        await process.settle(run_engines)
    assert process.outcomes.count("InternalError") >= 20
    assert cluster.writes()[before:] == ()
    events = [each for each in cluster.every(kinds.EVENT).values() if each["reason"] == "InternalError"]
    assert len(events) == 1
    assert "oops" not in events[0]["note"]


async def test_it_is_no_longer_told_once_it_is_over(cluster: FakeCluster, bug: Bug) -> None:
    process = await struck(cluster, bug)
    bug.there = False
    cluster.advance(61)
    await process.settle(run_engines)
    assert "Stalled=InternalError" not in texts(cluster)
    before = len(cluster.writes())
    cluster.advance(61)
    await process.settle(run_engines)
    assert cluster.writes()[before:] == ()


async def test_a_restart_does_not_tell_it_again(cluster: FakeCluster, bug: Bug) -> None:
    await struck(cluster, bug)
    before = len([call for call in cluster.writes() if call.kind in kinds.OWN])
    again = await started(cluster, renderer=bug, decide=bug.decide)
    await again.settle(run_engines)
    assert len([call for call in cluster.writes() if call.kind in kinds.OWN]) == before


async def test_a_person_falls_back_though_it_strikes_with_every_child(cluster: FakeCluster) -> None:
    process = await struck(cluster, Bug("rendering"))
    declared = {"external": [{"name": "provider", "url": "https://api.example/v1"}]}
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["spec"].update(fallback=declared))
    spec = {"decision": "Fallback", "target": {"name": NAME}, "approver": {"username": "alice"}}
    spec |= {"fallbackTo": {"type": "External", "external": "provider"}}
    cluster.put(kinds.MODEL_APPROVAL, {"metadata": {"namespace": NAMESPACE, "name": "out"}, "spec": spec})
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Fallback"
    assert "Stalled=InternalError" in texts(cluster)
